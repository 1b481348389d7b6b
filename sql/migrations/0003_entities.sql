-- Branches, prices, stock; contacts, classifications and barcodes nested in their parents; and for each record what
-- this schema does not know of it, as JSON.

ALTER TABLE tenant
    ADD COLUMN branches    bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN cursor_mode text NOT NULL DEFAULT 'trans_id' CHECK (cursor_mode IN ('trans_id', 'date'));
COMMENT ON COLUMN tenant.branches IS 'branches (filiais) whose stock is read; empty: all that the ERP lists';
COMMENT ON COLUMN tenant.cursor_mode IS 'by what changed records are asked for; date: for servers without trans_id';

ALTER TABLE customer ADD COLUMN raw jsonb;
ALTER TABLE customer_address
    ADD COLUMN state_valid       boolean,
    ADD COLUMN postal_code_valid boolean,
    ADD COLUMN raw               jsonb;
ALTER TABLE product ADD COLUMN raw jsonb;
ALTER TABLE sku ADD COLUMN raw jsonb;
COMMENT ON COLUMN customer.raw IS 'the ERP fields of this record that have no column here; NULL where there are none';

-- Contacts have no id of their own that is always there: their place in the list is.
CREATE TABLE customer_contact (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    customer_id        bigint NOT NULL,
    position           integer NOT NULL,
    contact_id         bigint,
    name               text,
    role               text,
    department         text,
    cpf                text,
    cpf_valid          boolean,
    email              text,
    mobile             text,
    birth_date         date,
    raw                jsonb,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, customer_id, position)
);

CREATE TABLE product_classification (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    vitrine            bigint NOT NULL,
    product_id         bigint NOT NULL,
    classification_id  bigint NOT NULL,
    tree               text,
    description        text,
    visible            boolean,
    giftable           boolean,
    pickup_in_store    boolean,
    excluded           boolean,
    raw                jsonb,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, vitrine, product_id, classification_id)
);

-- A SKU has up to three codes, which often are one: barra13 (ean13), barra (barcode), barra_ref (reference).
CREATE TABLE sku_barcode (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    vitrine            bigint NOT NULL,
    product_id         bigint NOT NULL,
    sku                text COLLATE "C" NOT NULL,
    barcode            text COLLATE "C" NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('ean13', 'barcode', 'reference')),
    ean13_valid        boolean NOT NULL,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, vitrine, product_id, sku, barcode)
);
CREATE INDEX sku_barcode_lookup ON sku_barcode (tenant_id, barcode);

CREATE TABLE branch (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    branch_id          bigint NOT NULL,
    branch_code        text,
    name               text,
    trade_name         text,
    cnpj               text,
    cnpj_valid         boolean,
    state              text,
    state_valid        boolean,
    city               text,
    trans_id           bigint NOT NULL,
    raw                jsonb,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,
    PRIMARY KEY (tenant_id, branch_id)
);
COMMENT ON COLUMN branch.branch_id IS 'may be negative: the ERP numbers special branches so';

CREATE TABLE price (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    vitrine            bigint NOT NULL,
    sku                text COLLATE "C" NOT NULL,
    product_id         bigint,
    product_code       text,
    color_id           bigint,
    pattern_id         bigint,
    size               text,
    price              numeric,
    list_price         numeric,
    cost               numeric,
    blocked            boolean,
    active             boolean,
    external_id        text,
    source_updated_at  timestamptz,
    trans_id           bigint NOT NULL,
    raw                jsonb,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,
    PRIMARY KEY (tenant_id, vitrine, sku)
);
COMMENT ON COLUMN price.price IS 'preco1, the selling price; some shops leave it 0 and keep theirs in preco2';
COMMENT ON COLUMN price.list_price IS 'preco2';

CREATE TABLE stock (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    branch_id          bigint NOT NULL,
    sku                text COLLATE "C" NOT NULL,
    lot                text COLLATE "C" NOT NULL DEFAULT '',
    product_id         bigint,
    color_id           bigint,
    pattern_id         bigint,
    size               text,
    branch_code        text,
    balance            numeric,
    reserved           numeric,
    minimum            numeric,
    storefront_balance numeric,
    storefront_free    numeric,
    purchase_balance   numeric,
    purchase_date      date,
    barcode            text,
    allows_backorder   boolean,
    presale            boolean,
    source_updated_at  timestamptz,
    trans_id           bigint NOT NULL,
    raw                jsonb,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,
    PRIMARY KEY (tenant_id, branch_id, sku, lot)
);
COMMENT ON COLUMN stock.balance IS 'saldo; may be negative, and NULL';
COMMENT ON COLUMN stock.storefront_free IS 'saldo_vitrine_sem_reserva; shops disagree whether this or balance is what may be sold';

DO $$
DECLARE
    data_table text;
BEGIN
    FOREACH data_table IN ARRAY ARRAY['customer_contact', 'product_classification', 'sku_barcode', 'branch', 'price', 'stock'] LOOP
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
