-- Data tables of customers and products, and row-level security on them and on the quarantine.

CREATE TABLE customer (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    customer_id        bigint NOT NULL,
    customer_code      text,
    name               text,
    trade_name         text,
    person_type        text,
    cpf                text,
    cpf_valid          boolean,
    cnpj               text,
    cnpj_valid         boolean,
    rg                 text,
    state_registration text,
    email              text,
    mobile             text,
    birth_date         date,
    registered_on      date,
    source_updated_at  timestamptz,
    gender             text,
    accepts_newsletter boolean,
    accepts_sms        boolean,
    accepts_mail       boolean,
    external_id        text,
    notes              text,
    trans_id           bigint NOT NULL,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,
    PRIMARY KEY (tenant_id, customer_id)
);

CREATE TABLE customer_address (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    customer_id        bigint NOT NULL,
    address_id         bigint NOT NULL,
    street             text,
    number             text,
    complement         text,
    district           text,
    city               text,
    city_ibge_code     text,
    state              text,
    postal_code        text,
    phone              text,
    country            text,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, customer_id, address_id)
);

CREATE TABLE product (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    vitrine            bigint NOT NULL,
    product_id         bigint NOT NULL,
    product_code       text,
    description        text,
    site_name          text,
    product_type       text,
    active             boolean,
    excluded           boolean,
    web                text,
    blocked            boolean,
    ncm                text,
    reference          text,
    unit               text,
    brand_code         text,
    brand              text,
    collection_code    text,
    collection         text,
    department_code    text,
    department         text,
    category_code      text,
    category           text,
    weight             numeric,
    height             numeric,
    width              numeric,
    length             numeric,
    cost               numeric,
    registered_on      date,
    source_updated_at  timestamptz,
    kit                boolean,
    allows_backorder   boolean,
    trans_id           bigint NOT NULL,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,
    PRIMARY KEY (tenant_id, vitrine, product_id)
);

CREATE TABLE sku (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    vitrine            bigint NOT NULL,
    product_id         bigint NOT NULL,
    sku                text COLLATE "C" NOT NULL,
    color_id           bigint,
    pattern_id         bigint,
    size               text,
    active             boolean,
    barcode            text,
    ean13              text,
    ean13_valid        boolean,
    color              text,
    pattern            text,
    price              numeric,
    list_price         numeric,
    allows_backorder   boolean,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, vitrine, product_id, sku)
);

-- A sync says whose data it handles (streamsync.tenant_id, local to its transaction) and can then see and
-- write nothing else, even with a mistaken WHERE. Sessions that say nothing (operators, reports) are not
-- restricted by it. FORCE, because the application's role usually owns the tables; superusers bypass it.
DO $$
DECLARE
    data_table text;
BEGIN
    FOREACH data_table IN ARRAY ARRAY['customer', 'customer_address', 'product', 'sku', 'rejected_record'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', data_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', data_table);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING ('
            '    coalesce((SELECT current_setting(''streamsync.tenant_id'', true)), '''') = '''''
            '    OR tenant_id = (SELECT current_setting(''streamsync.tenant_id'', true)))',
            data_table);
    END LOOP;
END
$$;
