"""Pages, faults and switches without a network."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from streamsync.simulator.answers import RefusedError
from streamsync.simulator.data import Population
from streamsync.simulator.dirt import Style
from streamsync.simulator.faults import Fault, FaultBoard, fault_of
from streamsync.simulator.pages import Pages
from streamsync.simulator.protocol import Target, query_of, target_of
from streamsync.simulator.switches import SwitchBoard, Switches
from streamsync.simulator.world import World

SHOP = "shop-00001"
HUGE = Population(seed=7, customers_per_tenant=50_000_000, products_per_tenant=10, fixed_sizes=True)


def _world(population: Population) -> World:
    return World(population, SwitchBoard(Switches()))


def _page(pages: Pages, query: bytes, switches: Switches | None = None) -> list[dict[str, object]]:
    answer = pages.answer(
        SHOP, "clientes.lista", query_of(query), switches or Switches(), Style(), as_json=True
    )
    rows: list[dict[str, object]] = orjson.loads(answer.body)["value"]
    assert answer.rows == len(rows)
    return rows


def test_a_page_costs_its_own_rows_only() -> None:
    pages = Pages(_world(HUGE))
    listing = HUGE.listings(SHOP, "customers")[0]
    rows = _page(pages, b"trans_id=%d&$top=100" % listing.trans_id(41_234_567))
    assert [row["trans_id"] for row in rows] == [listing.trans_id(41_234_567 + i) for i in range(100)]
    assert pages.rendered <= 100 + 2 * 64


def test_a_page_served_again_is_not_rendered_again() -> None:
    pages = Pages(_world(HUGE))
    first = _page(pages, b"trans_id=0&$top=100")
    rendered = pages.rendered
    assert _page(pages, b"trans_id=0&$top=100") == first
    assert pages.rendered == rendered


def test_the_cache_stays_within_its_bounds() -> None:
    pages = Pages(_world(HUGE), cache_bytes=200_000)
    listing = HUGE.listings(SHOP, "customers")[0]
    for index in range(0, 5000, 100):
        _page(pages, b"trans_id=%d&$top=100" % listing.trans_id(index))
        assert sum(len(block.body) + 700 for block in pages._blocks.values()) == pages._cached_bytes
        assert pages._cached_bytes <= 200_000


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/millenium_eco/clientes/lista", Target(None, "millenium_eco", "clientes.lista")),
        ("/API/Millenium_Eco.Clientes.Lista", Target(None, "millenium_eco", "clientes.lista")),
        ("/erp/a-1/api/millenium_eco/clientes.lista", Target("a-1", "millenium_eco", "clientes.lista")),
        ("/erp/a-1/api/login", Target("a-1", "", "login")),
        ("/api/logout", Target(None, "", "logout")),
        ("/api/other", None),
        ("/", None),
    ],
)
def test_paths(path: str, expected: Target | None) -> None:
    assert target_of(path) == expected


def test_names_of_parameters_and_options_have_no_case() -> None:
    query = query_of(b"Trans_ID=5&%24TOP=7&$Format=JSON")
    assert query.number("trans_id") == 5
    assert query.top == 7
    assert query.options["$format"] == "JSON"
    with pytest.raises(RefusedError, match=r"type \(Integer\)"):
        _ = query_of(b"$top=many").top


def test_faults_do_not_depend_on_who_else_is_there() -> None:
    def met(tenants: list[str]) -> dict[str, list[int]]:
        board = FaultBoard(seed=11)
        board.add(Fault("500", rate=0.3))
        seen: Counter[str] = Counter()
        hits: dict[str, list[int]] = {}
        for tenant in tenants:
            seen[tenant] += 1
            _, fault = board.decide(tenant, "clientes.lista", is_page=True)
            if fault is not None:
                hits.setdefault(tenant, []).append(seen[tenant])
        return hits

    in_turns = met(["a", "b"] * 200)
    one_by_one = met(["b"] * 200 + ["a"] * 200)
    assert in_turns == one_by_one
    assert 40 < len(in_turns["a"]) < 80
    assert in_turns["a"] != in_turns["b"]


def test_a_fault_stops_after_its_times_and_waits_for_its_page() -> None:
    board = FaultBoard(seed=1)
    board.add(Fault("503", tenant="a", times=2, after_requests=1))
    kinds = []
    for method, is_page in [("vitrine.listatabelas", False)] + [("clientes.lista", True)] * 4:
        _, fault = board.decide("a", method, is_page=is_page)
        kinds.append(None if fault is None else fault.kind)
    assert kinds == [None, None, "503", "503", None]
    assert board.decide("b", "clientes.lista", is_page=True) == ([], None)


@pytest.mark.parametrize(
    "rule",
    [{}, {"kind": "x"}, {"kind": "500", "rate": 2}, {"kind": "slow"}, {"kind": "500", "color": 1}, [], None],
)
def test_what_is_no_fault_is_refused(rule: object) -> None:
    with pytest.raises(ValueError):
        fault_of(rule)


def test_switches_of_one_tenant_leave_the_others_alone() -> None:
    board = SwitchBoard(Switches())
    board.set("a", {"exclusive": True})
    board.set(None, {"count_total": True})
    assert board.of("a") == Switches(exclusive=True, count_total=True)
    assert board.of("b") == Switches(count_total=True)
    board.reset()
    assert board.of("a") == Switches()


@pytest.mark.parametrize("change", [{"x": 1}, {"exclusive": 1}, {"session_limit": True}, {"auth": "ntlm"}])
def test_what_is_no_switch_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="switch"):
        SwitchBoard(Switches()).set(None, change)
