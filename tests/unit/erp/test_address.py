"""Which base URLs, hosts and addresses an ERP may have."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.config import Settings
from streamsync.erp.address import (
    AddressRules,
    embedded,
    literal_address,
    never_reachable,
    one_spelling,
    private,
)
from streamsync.errors import PermanentError

_NEVER = [
    "169.254.0.1", "169.254.169.254", "169.254.170.2", "fe80::1", "febf::1", "fe80::1%eth0", "fd00:ec2::254",
    "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "224.0.0.1", "239.255.255.255", "ff02::1",
    "0.0.0.0", "0.1.2.3", "::", "240.0.0.1", "255.255.255.255", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "::ffff:100.100.100.200", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::",
    "::ffff:0:169.254.169.254", "::169.254.169.254", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1",
    "2001:0:808:808:0:0:5601:5601", "2001:db8::5efe:169.254.169.254", "2606:4700::200:5efe:a9fe:a9fe",
]  # fmt: skip
_PRIVATE = [
    "127.0.0.1", "127.255.255.254", "::1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "100.64.0.1", "100.127.255.255", "fc00::1", "fdff::1", "fec0::1", "198.18.0.1", "192.0.2.1",
    "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:c0a8:0101::1", "::10.1.2.3",
    "2001:0:a00:1:0:0:f7f7:f7f7",
]  # fmt: skip
_PUBLIC = [
    "8.8.8.8", "172.15.255.255", "172.32.0.0", "192.167.255.255", "100.63.255.255", "100.128.0.0", "11.0.0.1",
    "169.253.255.255", "169.255.0.0", "126.255.255.255", "128.0.0.1", "2606:4700:4700::1111", "2a00:1450::1",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "100.100.100.201",
]  # fmt: skip


def _rules(**settings: object) -> AddressRules:
    return AddressRules(Settings(**settings))  # type: ignore[arg-type]


def _refusal(rules: AddressRules, url: str) -> PermanentError | None:
    try:
        rules.check_url(url)
    except PermanentError as error:
        return error
    return None


def _url(host: str) -> str:
    return f"http://[{host}]:6017" if ":" in host else f"http://{host}:6017"


@pytest.mark.parametrize("text", _NEVER)
def test_what_no_setting_allows(text: str) -> None:
    """Link-local, metadata, multicast, unspecified, broadcast: in every spelling that leads there, also where
    the list of hosts has all there is."""
    everything = _rules(erp_allow_private=True, erp_allowed_hosts="0.0.0.0/0 ::/0")
    error = _refusal(everything, _url(text))
    assert error is not None
    assert error.error_class == "erp_address"
    assert text.split("%")[0] in str(error)
    with pytest.raises(
        PermanentError, match=r"erp\.example resolves to .*, which is .*, where no ERP can be"
    ):
        everything.check_address("erp.example", ip_address(text))


@pytest.mark.parametrize("text", _PRIVATE)
def test_what_the_setting_allows(text: str) -> None:
    """Private, loopback, carrier-grade NAT and the rest of what is not the internet: the error names the
    setting, and with it they are fine."""
    error = _refusal(_rules(), _url(text))
    assert error is not None
    assert error.error_class == "erp_address"
    assert "STREAMSYNC_ERP_ALLOW_PRIVATE=true" in str(error)
    assert "VPN" in str(error)
    assert _refusal(_rules(erp_allow_private=True), _url(text)) is None


@pytest.mark.parametrize("text", _PUBLIC)
def test_what_is_allowed(text: str) -> None:
    """The internet, right up to the borders of the ranges above."""
    address = ip_address(text)
    if text == "100.100.100.201":  # the neighbour of a metadata service is only private
        assert (never_reachable(address), private(address)) == (None, "a carrier-grade NAT address")
        return
    assert _refusal(_rules(), _url(text)) is None


@pytest.mark.parametrize(
    "host",
    ["2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "169.254.43518", "0251.0376.0251.0376", "169.16689662",
     "169.254.169.254."],
)  # fmt: skip
def test_old_spellings_of_an_address(host: str) -> None:
    """What the C library takes for 169.254.169.254 is that, not a name."""
    assert literal_address(host) == IPv4Address("169.254.169.254")
    error = _refusal(_rules(erp_allow_private=True), f"http://{host}/")
    assert error is not None
    assert "link-local" in str(error)


@pytest.mark.parametrize("host", ["erp.example", "cafe.be", "x", "face", "256.1.1.1.example", "a.1"])
def test_names_are_not_addresses(host: str) -> None:
    """Not even those made of hexadecimal digits."""
    assert literal_address(host) is None


def test_spellings_of_a_host_are_one() -> None:
    """What requests are counted by."""
    assert one_spelling("ERP.Example.") == one_spelling("erp.example") == "erp.example"
    assert one_spelling("127.1") == one_spelling("0x7f000001") == "127.0.0.1"
    assert one_spelling("0:0:0:0:0:0:0:1") == "::1"
    assert one_spelling("loja-são.example") == "xn--loja-so-2wa.example"


@pytest.mark.parametrize(
    "url",
    ["", "erp.example:6017", "ftp://erp.example", "file:///etc/passwd", "http://", "http://:80", "http:///x",
     "http://erp.example:port", "http://erp.example:99999", "http://erp.example:0", "http://[::1", "//erp.example",
     "http://erp .example", "http://erp.example\n", "http://erp.example\\@169.254.169.254", "gopher://erp.example"],
)  # fmt: skip
def test_what_is_no_url_of_an_erp(url: str) -> None:
    """http and https with a host, nothing else."""
    error = _refusal(_rules(), url)
    assert error is not None
    assert error.error_class == "erp_url"
    assert "http(s)" in str(error)


@pytest.mark.parametrize(
    "url", ["http://user:s3cret@erp.example", "http://user@erp.example", "http://@erp.example"]
)
def test_user_and_password_do_not_belong_into_it(url: str) -> None:
    """And the message does not repeat them."""
    error = _refusal(_rules(), url)
    assert error is not None
    assert "user and password" in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    "url", ["http://erp.example/?", "http://erp.example?x=1", "http://erp.example/#", "http://e#f"]
)
def test_nothing_behind_the_path(url: str) -> None:
    """A query or a fragment would swallow the method's path."""
    error = _refusal(_rules(), url)
    assert error is not None
    assert "'?' and '#'" in str(error)


@pytest.mark.parametrize(
    "url",
    ["http://erp.example", "HTTPS://ERP.example:6018/", "http://erp.example/shop/1", "http://localhost:1"],
)
def test_names_pass_until_they_are_resolved(url: str) -> None:
    """Without the DNS nothing can be said against a name."""
    assert _refusal(_rules(), url) is None


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://erp.example", True),
        ("http://ERP.EXAMPLE.:6017", True),
        ("http://www.erp.example", False),
        ("http://a.shops.example", True),
        ("http://a.b.shops.example", True),
        ("http://shops.example", False),
        ("http://evilshops.example", False),
        ("http://shops.example.evil.invalid", False),
        ("http://xn--loja-so-2wa.example", True),
        ("http://8.8.8.8", False),
    ],
)
def test_a_list_of_names(url: str, *, allowed: bool) -> None:
    """Whole names, and wildcards for what is below a name."""
    rules = _rules(erp_allowed_hosts="erp.example, *.shops.example loja-são.example")
    error = _refusal(rules, url)
    assert (error is None) == allowed
    if error is not None:
        assert "STREAMSYNC_ERP_ALLOWED_HOSTS" in str(error)


def test_a_list_with_networks_decides_when_the_address_is_known() -> None:
    """A name that is not listed may yet be at a listed network; a listed name may be anywhere that is allowed."""
    rules = _rules(erp_allowed_hosts="8.8.8.0/24 2606:4700::/32 9.9.9.9 erp.example", erp_allow_private=True)
    assert _refusal(rules, "http://other.example") is None
    rules.check_address("other.example", ip_address("8.8.8.7"))
    rules.check_address("other.example", ip_address("9.9.9.9"))
    rules.check_address("erp.example", ip_address("10.0.0.1"))
    with pytest.raises(PermanentError, match=r"other\.example \(8\.8\.9\.1\) is not among"):
        rules.check_address("other.example", ip_address("8.8.9.1"))
    assert _refusal(rules, "http://[2606:4700::1]") is None
    assert _refusal(rules, "http://9.9.9.8") is not None


def test_a_list_does_not_make_private_addresses_public() -> None:
    """Each setting says one thing: a network of one's own is still allowed by the other."""
    assert _refusal(_rules(erp_allowed_hosts="10.0.0.0/8"), "http://10.0.0.1") is not None
    assert _refusal(_rules(erp_allowed_hosts="10.0.0.0/8", erp_allow_private=True), "http://10.0.0.1") is None


_IPV4 = st.ip_addresses(v=4)
_WRAPPERS = {
    "mapped": lambda a: 0xFFFF << 32 | a,
    "translated": lambda a: 0xFFFF << 48 | a,
    "compatible": lambda a: a,
    "nat64": lambda a: 0x64FF9B << 96 | a,
    "6to4": lambda a: 0x2002 << 112 | a << 80,
    "6to4 with more": lambda a: 0x2002 << 112 | a << 80 | 0xFFFF,
    "teredo relay": lambda a: 0x20010000 << 96 | a << 64 | 0x1234,
    "teredo client": lambda a: 0x20010000 << 96 | 0x08080808 << 64 | (a ^ 0xFFFFFFFF),
    "isatap": lambda a: 0x2606470000000000 << 64 | 0x5EFE << 32 | a,
    "isatap unique": lambda a: 0x2606470000000000 << 64 | 0x02005EFE << 32 | a,
}


@pytest.mark.parametrize("wrapper", _WRAPPERS)
@given(inner=_IPV4)
def test_an_address_in_an_address_is_judged_like_itself(wrapper: str, inner: IPv4Address) -> None:
    """What IPv6 leads to an IPv4 address is never easier to reach than that address."""
    number = _WRAPPERS[wrapper](int(inner))
    outer = IPv6Address(number)
    if number > 1:
        assert inner in set(embedded(outer))
        if never_reachable(inner):
            assert never_reachable(outer)
    if private(inner):
        assert private(outer)


@given(address=st.ip_addresses())
def test_every_address_has_a_verdict(address: IPv4Address | IPv6Address) -> None:
    """Whatever Python holds for no address of the internet needs the setting; no address is too strange."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if not (mapped or address).is_global:
        assert never_reachable(address) or private(address)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        assert never_reachable(address)
    if address.is_loopback or address.is_private:
        assert never_reachable(address) or private(address) or mapped


@given(text=st.text(max_size=40))
def test_no_text_is_too_strange_for_a_url(text: str) -> None:
    """A refusal or nothing, never another exception; and what passes is an http(s) URL without user."""
    for url in (text, f"http://{text}", f"http://erp.example{text}"):
        if _refusal(_rules(), url) is None:
            assert url.lower().startswith(("http://", "https://"))
            assert "?" not in url
            assert "#" not in url
