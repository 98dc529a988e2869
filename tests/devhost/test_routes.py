import pytest

from devhost.routes import Route, Router, decode_path
from devhost.settings import HostError


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
    assert [(hidden.function, hiding.function) for hidden, hiding in router.shadowed()] == [
        ("b_last", "B_first")
    ]


def test_routes_with_different_methods_hide_nothing():
    assert Router([Route("a", "{x}", ["GET"]), Route("b", "y", ["POST"])]).shadowed() == []


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/a%20b", "/a b"),
        (b"/%C3%BC", "/ü"),
        (b"/%c3%bc%FF", "/ü%FF"),
        (b"/a%2fb%2Fc", "/a%2fb%2Fc"),
        (b"/a/../b/./c/..", "/b/"),
        (b"/../../a", "/a"),
        (b"/..a/.b", "/..a/.b"),
        (b"/%00", None),
        (b"/\xff", None),
        (b"/100%", "/100%"),
    ],
)
def test_paths_are_decoded_as_kestrel_does(raw, path):
    assert decode_path(raw) == path
