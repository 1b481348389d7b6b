"""The words that simulated shops are made of: common names and public places, nobody in particular."""

from __future__ import annotations

from typing import Final, NamedTuple

FEMALE: Final = (
    "Ana", "Maria", "Júlia", "Letícia", "Beatriz", "Camila", "Fernanda", "Patrícia", "Mônica",
    "Sônia", "Conceição",
    "Inês", "Lúcia", "Débora", "Vitória", "Luíza", "Heloísa", "Rosângela", "Tânia", "Zuleide",
    "Aparecida", "Flávia",
    "Márcia", "Cláudia", "Estefânia", "Iracema", "Jandira", "Yasmin",
)  # fmt: skip
MALE: Final = (
    "João", "José", "Antônio", "Luís", "Márcio", "Sérgio", "Cláudio", "Fábio", "Rogério",
    "Otávio", "Estêvão",
    "Inácio", "Caio", "Mateus", "Tomás", "Vinícius", "Gonçalo", "Aurélio", "Júlio", "Átila",
    "Raimundo", "Édson",
    "Wellington", "Paulo", "Davi", "Régis", "Ubiratã", "Cauã",
)  # fmt: skip
SURNAMES: Final = (
    "Silva", "Souza", "Araújo", "Conceição", "Gonçalves", "Magalhães", "Simões", "Guimarães",
    "Sant'Ana", "D'Ávila",
    "Moraes", "Brandão", "Falcão", "Leão", "Assunção", "Corrêa", "Antunes", "Vasconcellos",
    "Peçanha", "Galvão",
    "Figueirêdo", "Paixão", "Muñoz", "Müller", "Nakamura", "Zanetti", "Kowalski", "Brito",
    "Queiroz", "Xavier",
)  # fmt: skip
TRADES: Final = (
    "Comercial", "Confecções", "Distribuidora", "Armarinho", "Modas", "Calçados", "Têxtil",
    "Magazine", "Papelaria",
    "Ótica", "Relojoaria", "Bazar", "Empório", "Ateliê",
)  # fmt: skip
COMPANY_ENDINGS: Final = ("Ltda", "Ltda ME", "S/A", "EIRELI", "& Filhos Ltda", "Com. e Serviços Ltda")
STREETS: Final = (
    "Rua das Acácias", "Avenida Brasil", "Rua São João", "Travessa do Comércio", "Avenida Getúlio Vargas",
    "Rua XV de Novembro", "Alameda dos Ipês", "Rua Conceição", "Praça da Sé", "Rodovia BR-101",
    "Largo da Matriz",
    "Rua Sete de Setembro", "Avenida Paraná", "Rua Dom Pedro II", "Estrada do Açaí", "Rua Três Corações",
)  # fmt: skip
DISTRICTS: Final = (
    "Centro", "Jardim América", "Vila São José", "Água Verde", "Boa Vista", "Santo Antônio",
    "Parque das Nações",
    "Conjunto Habitacional Esperança", "Chácara Três Marias", "Ilha do Leite", "Cidade Nova",
    "Bairro Peixoto",
)  # fmt: skip
COMPLEMENTS: Final = (
    "Apto 101",
    "Bloco B Apto 32",
    "Casa 2",
    "Fundos",
    "Sala 1204",
    "Loja 7",
    "Km 12",
    "Térreo",
)
NOTES: Final = (
    "Cliente prefere contato à tarde", "Não ligar aos sábados", "VIP - coleção verão",
    "Cadastro antigo, conferir CEP",
    "Pediu 10% de desconto na última compra", "Entrega só após às 18h",
)  # fmt: skip
MAIL_HOSTS: Final = ("example.com", "example.net", "example.org", "mail.example.com", "loja.invalid")

GARMENTS: Final = (
    ("Camisa", "Camisas"), ("Calça", "Calças"), ("Vestido", "Vestidos"), ("Sapato", "Calçados"),
    ("Bolsa", "Acessórios"),
    ("Cinto de Couro", "Acessórios"), ("Blusa", "Blusas"), ("Paletó", "Alfaiataria"),
    ("Macacão", "Macacões"),
    ("Tênis", "Calçados"), ("Óculos de Sol", "Acessórios"), ("Chapéu", "Acessórios"),
    ("Saia Plissê", "Saias"),
)  # fmt: skip
MATERIALS: Final = (
    "Algodão", "Linho", "Viscose", "Jeans", "Seda", "Couro", "Tricô", "Malha",
    "Poliéster Reciclado", "Crochê",
)  # fmt: skip
STYLES: Final = (
    "Básica",
    "Clássica",
    "Ampla",
    "Ajustada",
    "Longa",
    "Curta",
    "Estampada",
    "Lisa",
    "Premium",
    "Essencial",
)
BRANDS: Final = (
    "Marca Teste", "Grife Fictícia", "Linha Própria", "Pé de Anjo", "Açucena", "Três Irmãs",
    "Norte & Sul", "Ipê Roxo",
)  # fmt: skip
COLLECTIONS: Final = ("Verão", "Inverno", "Alto Verão", "Meia-estação", "Cápsula", "Liquidação", "Básicos")
DEPARTMENTS: Final = ("Feminino", "Masculino", "Infantil", "Calçados e Acessórios", "Casa")
COLORS: Final = (
    "Azul", "Azul-marinho", "Preto", "Branco", "Café", "Vermelho", "Açafrão", "Verde-água",
    "Lilás", "Cru", "Pêssego",
    "Cinza", "Grafite", "Marrom",
)  # fmt: skip
PATTERNS: Final = ("Liso", "Xadrez", "Poá", "Floral", "Listrado", "Étnico", "Animal Print")
SIZES: Final = (
    ("PP", "P", "M", "G", "GG"),
    ("36", "38", "40", "42", "44"),
    ("U",),
    ("34", "35", "36", "37"),
    ("P", "M"),
)
ROLES: Final = ("Compradora", "Gerente", "Sócia", "Auxiliar", None, None)
OFFICES: Final = ("Compras", "Financeiro", "Expedição", None)
RAW_MATERIALS: Final = ("Linha", "Botão", "Zíper", "Etiqueta", "Tecido Sarja", "Elástico", "Sacola")
UNITS: Final = ("PC", "UN", "PAR", "KIT", "MT")


class City(NamedTuple):
    """A city with what an address needs to be plausible. `ibge` has six digits, as the ERP keeps it."""

    name: str
    state: str
    ddd: str
    ibge: str
    cep_from: int
    cep_to: int


CITIES: Final = tuple(
    City(*row)
    for row in (
        ("São Paulo", "SP", "11", "355030", 1000, 5999), ("Campinas", "SP", "19", "350950", 13000, 13139),
        ("Santos", "SP", "13", "354850", 11000, 11099),
        ("Ribeirão Preto", "SP", "16", "354340", 14000, 14109),
        ("Rio de Janeiro", "RJ", "21", "330455", 20000, 23799),
        ("Niterói", "RJ", "21", "330330", 24000, 24399),
        ("Belo Horizonte", "MG", "31", "310620", 30000, 31999),
        ("Uberlândia", "MG", "34", "317020", 38400, 38415),
        ("Vitória", "ES", "27", "320530", 29000, 29099), ("Curitiba", "PR", "41", "410690", 80000, 82999),
        ("Londrina", "PR", "43", "411370", 86000, 86099),
        ("Florianópolis", "SC", "48", "420540", 88000, 88099),
        ("Joinville", "SC", "47", "420910", 89200, 89239),
        ("Porto Alegre", "RS", "51", "431490", 90000, 91999),
        ("Caxias do Sul", "RS", "54", "430510", 95000, 95124),
        ("Brasília", "DF", "61", "530010", 70000, 72799),
        ("Goiânia", "GO", "62", "520870", 74000, 74899), ("Cuiabá", "MT", "65", "510340", 78000, 78099),
        ("Campo Grande", "MS", "67", "500270", 79000, 79124),
        ("Palmas", "TO", "63", "172100", 77000, 77249),
        ("Salvador", "BA", "71", "292740", 40000, 42599), ("Aracaju", "SE", "79", "280030", 49000, 49098),
        ("Maceió", "AL", "82", "270430", 57000, 57099), ("Recife", "PE", "81", "261160", 50000, 52999),
        ("João Pessoa", "PB", "83", "250750", 58000, 58099),
        ("Natal", "RN", "84", "240810", 59000, 59139),
        ("Fortaleza", "CE", "85", "230440", 60000, 61599),
        ("Teresina", "PI", "86", "221100", 64000, 64099),
        ("São Luís", "MA", "98", "211130", 65000, 65109), ("Belém", "PA", "91", "150140", 66000, 66999),
        ("Macapá", "AP", "96", "160030", 68900, 68911), ("Manaus", "AM", "92", "130260", 69000, 69099),
        ("Boa Vista", "RR", "95", "140010", 69300, 69339),
        ("Rio Branco", "AC", "68", "120040", 69900, 69924),
        ("Porto Velho", "RO", "69", "110020", 76800, 76834),
    )
)  # fmt: skip
