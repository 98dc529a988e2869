import pytest

from devhost.paths import decode_path, encode_path, parse_query
from devhost.routes import Route, Router
from devhost.settings import HostError
from scripts.index_functions import hidden_route


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("a/b", "/a/b", {}),
        ("a/b", "/A/B/", {}),
        ("a/b", "/a", None),
        ("a/b", "/a/b/c", None),
        ("a.c", "/abc", None),  # a literal is no pattern
        ("{x}", "/1", {"x": "1"}),
        ("{x}", "/", None),
        ("{x}/b", "//b", None),  # an empty segment fits no parameter
        ("{x?}", "/", {}),
        ("a/{x?}", "/a", {}),
        ("a/{x=5}", "/a", {"x": "5"}),
        ("a/{x=5}", "/a/6", {"x": "6"}),
        ("a/{*rest}", "/a/b/c", {"rest": "b/c"}),
        ("a/{**rest}", "/a", {}),
        ("{*rest}", "/", {}),
        ("{x:int}", "/12", {"x": "12"}),
        ("{x:int}", "/12x", None),
        ("{x:int?}", "/", {}),
        ("{x:long}", "/99999999999", {"x": "99999999999"}),
        ("{x:bool}", "/TRUE", {"x": "TRUE"}),
        ("{x:bool}", "/yes", None),
        ("{x:guid}", "/d3b07384-d9a0-4c9b-8f3e-0c1d2e3f4a5b", {"x": "d3b07384-d9a0-4c9b-8f3e-0c1d2e3f4a5b"}),
        ("{x:guid}", "/1", None),
        ("{x:alpha}", "/abc", {"x": "abc"}),
        ("{x:alpha}", "/ab1", None),
        ("{x:length(2)}", "/ab", {"x": "ab"}),
        ("{x:length(2,3)}", "/abcd", None),
        ("{x:minlength(3)}", "/ab", None),
        ("{x:maxlength(3)}", "/abc", {"x": "abc"}),
        ("{x:range(1,9)}", "/10", None),
        ("{x:min(3):max(5)}", "/4", {"x": "4"}),
        ("{x:min(3):max(5)}", "/6", None),
        (r"{x:regex(^\d{{2}}$)}", "/12", {"x": "12"}),
        (r"{x:regex(^\d{{2}}$)}", "/123", None),
        (r"{x:regex(^a/b$)}", "/a", None),
        ("{name}.{ext}", "/a.b.txt", {"name": "a.b", "ext": "txt"}),
        ("{name}.{ext}", "/a", None),
        ("{name}.{ext?}", "/a", {"name": "a"}),
        ("{name}.{ext?}", "/a.b.c", {"name": "a.b", "ext": "c"}),
        ("{name}.{ext?}", "/a.", None),
        ("a/{*rest}", "/a//b", None),
        ("a/{*rest}", "/a/b//c", {"rest": "b//c"}),
        ("{x:decimal}", "/1,5", {"x": "1,5"}),
        ("{x:decimal}", "/1e3", None),
        ("{x:double}", "/NaN", {"x": "NaN"}),
        ("p/{x}/:import", "/p/1/:import", {"x": "1"}),
        ("p/{x}/:import", "/p/1/import", None),
        ("p/{x}:go", "/p/1:go", {"x": "1"}),
        ("a{{b}}", "/a{b}", {}),
    ],
)
def test_templates(template, path, values):
    assert Route("f", template, None).match(path) == values


@pytest.mark.parametrize("template", ["{x:int", "{x:nothing}", "{x:length(a)}", "{}"])
def test_templates_that_are_wrong(template):
    with pytest.raises(HostError):
        Route("f", template, None)


def test_functions_are_tried_in_the_order_of_their_names_without_case():
    router = Router(
        [Route("B_first", "{*rest}", ["GET"]), Route("a", "x", ["get"]), Route("b_last", "y", None)]
    )
    assert router.find("GET", "/x") == ("a", {})
    assert router.find("GET", "/y") == ("B_first", {"rest": "y"})
    assert router.find("POST", "/y") == ("b_last", {})
    assert router.find("DELETE", "/x") is None
    assert router.find("get", "/x") == ("a", {})
    assert router.find("UNKNOWN", "/y") == ("b_last", {})
    assert hidden_route(router.routes) == (
        "route y of b_last is hidden by {*rest} of B_first: the host tries functions in the order of their names"
    )


def test_routes_with_different_methods_hide_nothing():
    assert hidden_route(Router([Route("a", "{x}", ["GET"]), Route("b", "y", ["POST"])]).routes) is None


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a%20b", "/a b"),
        ("/%C3%BC", "/ü"),
        ("/%c3%bc%FF", "/ü%FF"),
        ("/a%2fb%2Fc", "/a%2fb%2Fc"),
        ("/a/../b/./c/..", "/b/"),
        ("/../../a", "/a"),
        ("/..a/.b", "/..a/.b"),
        ("/%00", None),
        ("/100%", "/100%"),
    ],
)
def test_paths_are_decoded_as_kestrel_does(raw, path):
    assert decode_path(raw) == path


@pytest.mark.parametrize(
    ("path", "encoded"),
    [("/a b", "/a%20b"), ("/ü", "/%C3%BC"), ("/a+b", "/a+b"), ("/a%2Fb", "/a%2Fb"), ("/100%", "/100%25")],
)
def test_paths_are_encoded_as_functions_see_them(path, encoded):
    assert encode_path(path) == encoded


def test_queries_are_read_as_asp_net_does():
    assert parse_query("a=1&A=2&b&=3&c=%FF+%2B&&d=e=f") == {
        "A": ["1", "2"],
        "b": [""],
        "": ["3"],
        "c": ["%FF +"],
        "d": ["e=f"],
    }
