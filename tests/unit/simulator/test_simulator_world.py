"""What is served is the truth, whatever happens to the data and however the server writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from streamsync.simulator.data import ENTITIES, TABLES, Population
from streamsync.simulator.pages import Pages, style_of
from streamsync.simulator.protocol import LISTS, query_of
from streamsync.simulator.switches import SwitchBoard, Switches
from streamsync.simulator.truth import line_of, rows_from
from streamsync.simulator.world import World
from tests.unit.simulator import undirt

SHOP = "shop-00001"
OTHER = "shop-00002"
SHOPS = Population(
    seed=9, customers_per_tenant=50, products_per_tenant=30, fixed_sizes=True, vitrines=2, branches=3
)
_METHODS = {method.entity: name for name, method in LISTS.items()}


class Server:
    """A world and its pages, without a network."""

    def __init__(self, population: Population = SHOPS, **switches: Any) -> None:
        self.board = SwitchBoard(Switches(**switches))
        self.world = World(population, self.board)
        self.pages = Pages(self.world)

    def read(self, entity: str, scope: int | None = None, query: str = "", tenant: str = SHOP) -> list[Any]:
        """One request's rows."""
        name = _METHODS[entity]
        asked = f"lista_preco=true&{query}" if entity == "products" else query
        if scope is not None:
            asked += f"&{LISTS[name].scope}={scope}"
        switches, sent = self.board.of(tenant), query_of(asked.encode())
        style = style_of(sent, switches, iso_header=False, upper_header=False, as_json=True)
        answer = self.pages.answer(tenant, name, sent, switches, style, as_json=True)
        rows: list[Any] = json.loads(answer.body, strict=False)["value"]
        return rows

    def all_of(self, entity: str) -> list[Any]:
        """All rows of an entity, in one request per scope."""
        scopes = self.world.scopes(SHOP, entity)
        return [row for scope in scopes for row in self.read(entity, scope)]

    def check(self) -> None:
        """All tables: what is served, cleaned, is what the truth says."""
        for entity in ENTITIES:
            records = self.all_of(entity)
            for table in (name for name, (bringing, _) in TABLES.items() if bringing == entity):
                assert undirt.rows_of(table, records) == list(self.world.truth(SHOP, table)), table


@pytest.mark.parametrize(
    "switches",
    [
        {"preco1": "zero"},
        {"preco1": "null"},
        {"no_trans_id": True},
        {"branch_trans_id": True},
        {"old_branch_names": True},
        {"dates": "iso-seconds"},
        {"extra_field": "novo"},
        {"single": "nested"},
        {"dirt": False},
    ],
    ids=str,
)
def test_the_truth_knows_how_the_server_writes(switches: dict[str, Any]) -> None:
    server = Server(**switches)
    server.world.change(SHOP, "products", 3)
    server.check()


_DEEDS: dict[str, Callable[[World], object]] = {
    "change": lambda world: [world.change(SHOP, entity, share=0.3) for entity in ENTITIES],
    "insert": lambda world: [world.insert(SHOP, entity, 5) for entity in ENTITIES],
    "delete": lambda world: [world.delete(SHOP, entity, 4) for entity in ENTITIES if entity != "branches"],
    "nested": lambda world: [
        world.delete_nested(SHOP, entity, share=0.5) for entity in ("customers", "products")
    ],
    "branch": lambda world: world.delete(SHOP, "branches", 1),
}


@pytest.mark.parametrize("deed", _DEEDS)
def test_the_truth_follows_what_happens(deed: str) -> None:
    """After each deed, and after all that came before it a second time."""
    server = Server()
    before = {table: list(server.world.truth(SHOP, table)) for table in TABLES}
    others = {table: list(server.world.truth(OTHER, table)) for table in TABLES}
    _DEEDS[deed](server.world)
    server.check()
    assert before != {table: list(server.world.truth(SHOP, table)) for table in TABLES}
    for each in _DEEDS.values():
        each(server.world)
    server.check()
    assert others == {table: list(server.world.truth(OTHER, table)) for table in TABLES}


def test_without_changes_the_truth_is_the_population_s() -> None:
    world = Server().world
    for table in TABLES:
        assert list(world.truth(SHOP, table)) == list(SHOPS.truth(SHOP, table))


def test_a_branch_takes_its_stock_along_and_a_new_one_brings_some() -> None:
    server = Server()
    server.world.insert(SHOP, "branches")
    found = {row["branch_id"] for row in server.world.truth(SHOP, "branch")}
    assert found == {row["branch_id"] for row in server.world.truth(SHOP, "stock")}
    assert len(found) == 4
    assert min(map(int, map(str, found))) < 0
    server.world.delete(SHOP, "branches", 2)
    left = {row["branch_id"] for row in server.world.truth(SHOP, "branch")}
    assert left < found
    assert left == {row["branch_id"] for row in server.world.truth(SHOP, "stock")}
    (gone, _) = found - left
    assert server.read("stock", int(str(gone))) == []


def test_a_tombstone_stays_and_says_so() -> None:
    server = Server(tombstones=True)
    before = {row["product_id"]: row for row in server.world.truth(SHOP, "product")}
    assert server.world.delete(SHOP, "products", 5) == 5
    after = {row["product_id"]: row for row in server.world.truth(SHOP, "product")}
    dead = [row for row in after.values() if row != before[row["product_id"]]]
    assert len(dead) == 5
    assert all((row["excluded"], row["active"], row["web"]) == (True, False, "E") for row in dead)
    ids = {row["product_id"] for row in dead}
    skus = [row for row in server.world.truth(SHOP, "sku") if row["product_id"] in ids]
    assert skus
    assert not any(row["active"] for row in skus)
    server.check()
    assert server.world.delete(SHOP, "customers", 5) == 5
    assert len(list(server.world.truth(SHOP, "customer"))) == 45


def test_stock_has_what_the_reference_says() -> None:
    """Zero, negative and null balances, materials in lots, every SKU of every storefront in every branch."""
    rows = list(SHOPS.truth(SHOP, "stock"))
    balances = [row["balance"] for row in rows]
    assert None in balances
    assert 0 in balances
    assert any(isinstance(balance, Decimal) and balance < 0 for balance in balances)
    skus = {str(row["sku"]) for row in SHOPS.truth(SHOP, "sku")}
    for branch in {row["branch_id"] for row in rows}:
        mine = [row for row in rows if row["branch_id"] == branch]
        assert skus < {str(row["sku"]) for row in mine}
        lots = [row["lot"] for row in mine]
        assert 0 < sum(lot != "" for lot in lots) < len(lots) / 10
    assert {row["sku"] for row in SHOPS.truth(SHOP, "price")} == skus
    assert len({(row["sku"], row["branch_id"]) for row in rows}) < len(rows)


def test_the_same_deeds_have_the_same_effect() -> None:
    def told() -> list[Any]:
        server = Server()
        for deed in _DEEDS.values():
            deed(server.world)
        return [list(server.world.truth(SHOP, table)) for table in TABLES]

    assert told() == told()


def test_a_restored_backup_is_what_it_was_and_trans_ids_come_again() -> None:
    server = Server()
    server.world.change(SHOP, "customers", 10)
    kept = {table: list(server.world.truth(SHOP, table)) for table in TABLES}
    server.world.snapshot(SHOP)
    for deed in _DEEDS.values():
        deed(server.world)
    later = max(row["trans_id"] for row in server.all_of("customers"))
    server.world.restore(SHOP)
    assert kept == {table: list(server.world.truth(SHOP, table)) for table in TABLES}
    server.check()
    now = max(row["trans_id"] for row in server.all_of("customers"))
    assert now < later
    server.world.change(SHOP, "customers", 50)
    assert any(row["trans_id"] <= later for row in server.all_of("customers") if row["trans_id"] > now)
    server.check()
    with pytest.raises(ValueError, match="no backup"):
        server.world.restore(OTHER)


def test_records_change_while_they_are_read_until_the_cap_is_reached() -> None:
    """A reader with an overlap ends with the truth, and what happened is the same each time."""

    def run() -> tuple[list[Any], int]:
        server = Server(change_rate=0.5, change_cap=40)
        found: dict[int, Any] = {}
        cursor, pages = 0, 0
        while True:
            rows = server.read("customers", query=f"trans_id={max(cursor - 1, 0)}&$top=7")
            pages += 1
            found |= {row["cliente"]: row for row in rows}
            highest = max((row["trans_id"] for row in rows), default=cursor)
            if highest <= cursor:
                break
            cursor = highest
        assert undirt.rows_of("customer", found.values()) == list(server.world.truth(SHOP, "customer"))
        changed = [
            row
            for row in found.values()
            if row["trans_id"] > SHOPS.listings(SHOP, "customers")[0].last_trans_id
        ]
        assert 10 < len(changed) <= 40
        return list(found.values()), pages

    first, pages = run()
    assert pages > 50 / 7 + 2
    assert run() == (first, pages)


def test_what_is_nothing_to_do_is_refused() -> None:
    world = Server().world
    for wrong in ({"count": 1, "share": 0.5}, {"share": 2.0}, {"count": -1}):
        with pytest.raises(ValueError):
            world.change(SHOP, "customers", **wrong)
    with pytest.raises(ValueError, match="unknown entity"):
        world.change(SHOP, "orders", 1)
    with pytest.raises(ValueError, match="unknown table"):
        next(world.truth(SHOP, "orders"))
    assert world.change(SHOP, "products", 1, scope=-77) == 0


def test_bad_records_are_counted_as_they_come_and_go() -> None:
    world = Server(Population(seed=9, customers_per_tenant=200, fixed_sizes=True, bad_rate=0.2)).world
    assert world.bad_count(SHOP, "customers") == world.population.bad_count(SHOP, "customers") > 10
    world.delete(SHOP, "customers", 150)
    assert world.bad_count(SHOP, "customers") + len(list(world.truth(SHOP, "customer"))) == 50
    assert world.count(SHOP, "customers") == 50


def test_the_truth_survives_its_journey_as_lines_of_json() -> None:
    for table in TABLES:
        rows = list(SHOPS.truth(SHOP, table))
        there = list(rows_from(line_of(row) for row in rows))
        assert there == rows
        assert [[type(value) for value in row.values()] for row in there] == [
            [type(value) for value in row.values()] for row in rows
        ]
        assert all(list(row) == list(rows[0]) for row in there)
    with pytest.raises(TypeError):
        line_of({"x": object()})


def test_users_are_shared_by_neighbours() -> None:
    shared = Population(seed=1, shared_users=3)
    users = [shared.user_of(tenant) for tenant in Population.tenants(7)]
    assert users == ["shop-user-00001"] * 3 + ["shop-user-00002"] * 3 + ["shop-user-00003"]
    assert (
        shared.password_of("shop-00001")
        == shared.password_of("shop-00003")
        != shared.password_of("shop-00004")
    )
    rows = list(shared.import_rows("http://x", 4))
    assert [row[3] for row in rows] == users[:4]
    assert [row[4] for row in rows] == [shared.password_of(row[0]) for row in rows]
    assert shared.owner_of("shop-user-00002") == "shop-00004"
    assert (shared.user_of("lonely"), shared.owner_of("lonely")) == ("lonely", "lonely")


def test_overlays_are_kept_for_what_changed_only() -> None:
    """Reading a thousand tenants leaves nothing behind."""
    server = Server(Population(seed=9, customers_per_tenant=50, fixed_sizes=True, templates=2))
    for tenant in Population.tenants(1000):
        assert len(server.read("customers", query="$top=3", tenant=tenant)) == 3
    assert server.world._overlays == {}
    population = server.world.population
    one, same = [
        tenant for tenant in Population.tenants(9) if population.template_of(tenant) == "template-0"
    ][:2]
    assert server.read("customers", tenant=one) == server.read("customers", tenant=same)
    server.world.change(one, "customers", 2)
    assert sum(overlay.changed for overlay in server.world._overlays.values()) == 2
    assert server.read("customers", tenant=one) != server.read("customers", tenant=same)
