"""A URL from a callback is taken apart by the pattern of its host, or not at all."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.errors import UnreadableDelivery
from handlers.storage.locate import MAX_KEY, Location, locate

KNOWN = [
    ("lessons.oss-cn-shanghai.aliyuncs.com/a/b.mp4", "oss", "lessons", "cn-shanghai"),
    ("lessons.oss-cn-shanghai-internal.aliyuncs.com/a/b.mp4", "oss", "lessons", "cn-shanghai"),
    ("lessons.oss-cn-shanghai-finance-1.aliyuncs.com/a/b.mp4", "oss", "lessons", "cn-shanghai-finance-1"),
    ("lessons.s3.oss-cn-hangzhou.aliyuncs.com/a/b.mp4", "oss", "lessons", "cn-hangzhou"),
    ("lessons.s3.oss-cn-hangzhou-internal.aliyuncs.com/a/b.mp4", "oss", "lessons", "cn-hangzhou"),
    ("lessons.oss-accelerate.aliyuncs.com/a/b.mp4", "oss", "lessons", None),
    ("lessons.oss-accelerate-overseas.aliyuncs.com/a/b.mp4", "oss", "lessons", None),
    ("lessons.cn-hangzhou.oss.aliyuncs.com/a/b.mp4", "oss", "lessons", "cn-hangzhou"),
    ("lessons.cn-hangzhou-j-internal.oss-data-acc.aliyuncs.com/a/b.mp4", "oss", "lessons", None),
    ("lessons.tos-cn-beijing.volces.com/a/b.mp4", "tos", "lessons", "cn-beijing"),
    ("lessons.tos-cn-beijing.ivolces.com/a/b.mp4", "tos", "lessons", "cn-beijing"),
    ("lessons.tos-s3-ap-southeast-1.volces.com/a/b.mp4", "tos", "lessons", "ap-southeast-1"),
    ("lessons.tos-s3-cn-beijing.ivolces.com/a/b.mp4", "tos", "lessons", "cn-beijing"),
    ("lessons.obs.cn-north-4.myhuaweicloud.com/a/b.mp4", "obs", "lessons", "cn-north-4"),
    ("my.lessons.2026.obs.cn-north-4.myhuaweicloud.com/a/b.mp4", "obs", "my.lessons.2026", "cn-north-4"),
    ("obs.cn-north-4.myhuaweicloud.com/my.lessons/a/b.mp4", "obs", "my.lessons", "cn-north-4"),
    ("lessons.obs-website.cn-north-4.myhuaweicloud.com/a/b.mp4", "obs", "lessons", "cn-north-4"),
    ("lessons.obs.eu-west-101.myhuaweicloud.eu/a/b.mp4", "obs", "lessons", "eu-west-101"),
    ("obs.eu-west-101.myhuaweicloud.eu/lessons/a/b.mp4", "obs", "lessons", "eu-west-101"),
    ("lessons.s3.eu-west-1.amazonaws.com/a/b.mp4", "s3", "lessons", "eu-west-1"),
    ("my.lessons.s3.us-gov-west-1.amazonaws.com/a/b.mp4", "s3", "my.lessons", "us-gov-west-1"),
    ("lessons.s3.cn-north-1.amazonaws.com.cn/a/b.mp4", "s3", "lessons", "cn-north-1"),
    ("lessons.s3-us-west-2.amazonaws.com/a/b.mp4", "s3", "lessons", "us-west-2"),
    ("lessons.s3.amazonaws.com/a/b.mp4", "s3", "lessons", None),
    ("lessons.s3.dualstack.us-west-2.amazonaws.com/a/b.mp4", "s3", "lessons", "us-west-2"),
    ("lessons.s3-accelerate.amazonaws.com/a/b.mp4", "s3", "lessons", None),
    ("lessons.s3-accelerate.dualstack.amazonaws.com/a/b.mp4", "s3", "lessons", None),
    ("s3.us-west-2.amazonaws.com/lessons/a/b.mp4", "s3", "lessons", "us-west-2"),
    ("s3-us-west-2.amazonaws.com/lessons/a/b.mp4", "s3", "lessons", "us-west-2"),
    ("s3.dualstack.us-west-2.amazonaws.com/lessons/a/b.mp4", "s3", "lessons", "us-west-2"),
    ("s3.cn-north-1.amazonaws.com.cn/lessons/a/b.mp4", "s3", "lessons", "cn-north-1"),
    ("s3.amazonaws.com/lessons/a/b.mp4", "s3", "lessons", None),
]

UNKNOWN = [
    "media.example.com/a/b.mp4",
    "oss-cn-shanghai.aliyuncs.com/lessons/a/b.mp4",  # OSS serves no path style
    "my.lessons.oss-cn-shanghai.aliyuncs.com/a/b.mp4",  # nor buckets with a dot
    "my.lessons.tos-cn-beijing.volces.com/a/b.mp4",
    "tos-cn-beijing.volces.com/lessons/a/b.mp4",
    "lessons.tos-accelerate.volces.com/a/b.mp4",
    "lessons.s3-website-us-west-2.amazonaws.com/a/b.mp4",
    "lessons.s3-accesspoint.us-west-2.amazonaws.com/a/b.mp4",
    "lessons.oss-cn-shanghai.aliyuncs.com.example.com/a/b.mp4",
    "lessons.oss-cn-shanghai.aliyuncs.example/a/b.mp4",
    "examplelessons-oss-cn-shanghai.aliyuncs.com/a/b.mp4",
    "s3.us-west-2.amazonaws.com/Not_A_Bucket/a/b.mp4",
    "obs.cn-north-4.myhuaweicloud.com//lessons/a/b.mp4",
    "127.0.0.1/a/b.mp4",
    "[2001:db8::1]/a/b.mp4",
]

BAD = [
    ("", "begins with http"),
    ("lessons.oss-cn-shanghai.aliyuncs.com/a.mp4", "begins with http"),
    ("ftp://media.example.com/a.mp4", "begins with http"),
    ("file:///etc/passwd", "begins with http"),
    ("javascript:alert(1)", "begins with http"),
    ("https:/media.example.com/a.mp4", "begins with http"),
    ("https://169.254.169.254\\@lessons.oss-cn-hangzhou.aliyuncs.com/x", "backslash"),
    ("https://media.example.com/a\tb.mp4", "white space"),
    ("https://media.example.com/a b.mp4", "white space"),
    ("https://media.example.com/a\u3000b.mp4", "white space"),
    ("https://media.example.com/a\r\nHost: x", "white space"),
    ("https://media.example.com/a\0.mp4", "control character"),
    ("https://media.example.com/a\x85.mp4", "control character"),
    ("https://media.example.com/\ud800.mp4", "control character"),
    ("https://user:pass@media.example.com/a.mp4", "names a user"),
    ("https://@media.example.com/a.mp4", "names a user"),
    ("https:///a.mp4", "no host name"),
    ("https://médiathèque.example.com/a.mp4", "no host name"),
    ("https://media%2eexample.com/a.mp4", "no host name"),
    ("https://media.example.com:port/a.mp4", "no host name"),
    ("https://media.example.com:123456/a.mp4", "no host name"),
    ("https://media.example.com:65536/a.mp4", "port is 65536"),
    ("https://media.example.com:0/a.mp4", "port is 0"),
    ("https://media..example.com/a.mp4", "label"),
    ("https://./a.mp4", "label"),
    ("https://-media.example.com/a.mp4", "label"),
    (f"https://{'m' * 64}.example.com/a.mp4", "label"),
    (f"https://{'media.' * 42}com/a.mp4", "host is 255"),
    ("https://[::1/a.mp4", "no host name"),
    ("https://[1:2]/a.mp4", "no IPv6"),
    ("https://media.example.com", "URL of an object"),
    ("https://media.example.com/", "URL of an object"),
    ("https://media.example.com?a=/b.mp4", "URL of an object"),
    ("https://lessons.oss-cn-shanghai.aliyuncs.com/", "URL of an object"),
    ("https://obs.cn-north-4.myhuaweicloud.com/lessons", "URL of an object"),
    ("https://obs.cn-north-4.myhuaweicloud.com/lessons/", "URL of an object"),
    ("https://media.example.com/%ff.mp4", "no UTF-8"),
    ("https://media.example.com/%ed%a0%80.mp4", "no UTF-8"),
    ("https://media.example.com/%C0%AF.mp4", "no UTF-8"),
    ("https://media.example.com/a%00.mp4", "NUL"),
    (f"https://lessons.oss-cn-shanghai.aliyuncs.com/{'a' * (MAX_KEY + 1)}", "1025 bytes"),
    (f"https://media.example.com/{'%E8%AF%BE' * 342}", "1026 bytes"),
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("rest", "kind", "bucket", "region"), KNOWN)
def test_a_known_host_tells_storage_bucket_region_and_key(
    scheme: str, rest: str, kind: str, bucket: str, region: str | None
) -> None:
    url = f"{scheme}://{rest}"
    found = locate(url)
    assert (found.kind, found.bucket, found.region, found.key) == (kind, bucket, region, "a/b.mp4")
    assert found.url == url
    assert found.locator == f"{kind}:{bucket}/a/b.mp4"


@pytest.mark.parametrize("rest", UNKNOWN)
def test_an_unknown_host_is_never_guessed(rest: str) -> None:
    found = locate(f"https://{rest}")
    assert (found.kind, found.bucket, found.region, found.key) == (None, None, None, None)
    assert found.url == f"https://{rest}"
    assert found.locator == f"url:{rest}"


@pytest.mark.parametrize(("url", "why"), BAD)
def test_what_is_no_url_of_an_object_is_unreadable_and_says_why(url: str, why: str) -> None:
    with pytest.raises(UnreadableDelivery, match=why):
        locate(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hush@media.example.com/a.mp4",
        "https://media.example.com/a b?Signature=hush",
        "https://media.example.com/?Signature=hush",
        "https://media.example.com/%ff?Signature=hush#hush",
        "hush://media.example.com/a",
    ],
)
def test_an_error_repeats_nothing_that_may_be_secret(url: str) -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        locate(url)
    assert "hush" not in str(caught.value)


def test_a_query_and_a_fragment_are_dropped() -> None:
    found = locate("https://lessons.oss-cn-shanghai.aliyuncs.com/a.mp4?Signature=hush&x=/y#hush")
    assert found == locate("https://lessons.oss-cn-shanghai.aliyuncs.com/a.mp4")
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    "wide",
    [
        "HTTPS://LESSONS.OSS-CN-SHANGHAI.ALIYUNCS.COM./A.mp4",
        "\thttps://lessons.oss-cn-shanghai.aliyuncs.com:443/A.mp4\n",
    ],
)
def test_case_trailing_dot_default_port_and_outer_blanks_make_no_other_file(wide: str) -> None:
    assert locate(wide) == locate("https://lessons.oss-cn-shanghai.aliyuncs.com/A.mp4")


def test_the_scheme_makes_no_other_file_and_a_port_of_its_own_does() -> None:
    assert locate("http://media.example.com:80/a").locator == locate("https://media.example.com/a").locator
    assert locate("https://Media.example.com:8443/a").locator == "url:media.example.com:8443/a"
    assert locate("http://[2001:DB8:0::1]:8080/a").locator == "url:[2001:db8::1]:8080/a"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a+b%2Bc", "a+b+c"),
        ("a/../b/./c", "a/../b/./c"),
        ("a//b", "a//b"),
        ("/a", "/a"),
        ("%2Fa", "/a"),
        ("a%2520b", "a%20b"),
        ("%E8%AF%BE%E5%A0%82", "课堂"),
        ("课堂", "课堂"),
        ("100%_done", "100%_done"),
        ("a%0Ab%5Cc%20d", "a\nb\\c d"),
        ("a@b:c", "a@b:c"),
        ("a/", "a/"),
    ],
)
def test_a_key_is_decoded_exactly_once_and_otherwise_verbatim(path: str, key: str) -> None:
    assert locate(f"https://lessons.oss-cn-shanghai.aliyuncs.com/{path}").key == key
    assert locate(f"https://s3.amazonaws.com/lessons/{path}").key == key
    assert locate(f"https://media.example.com/{path}").path == key


def test_every_way_to_reach_a_bucket_gives_its_file_one_name() -> None:
    hosts = ["oss-cn-shanghai", "oss-cn-shanghai-internal", "s3.oss-cn-shanghai", "oss-accelerate", "cn-shanghai.oss"]
    assert {locate(f"http://lessons.{host}.aliyuncs.com/a.mp4").locator for host in hosts} == {"oss:lessons/a.mp4"}


def test_a_key_of_1024_bytes_is_the_longest() -> None:
    key = "课" * 341 + "a"
    assert locate(f"https://lessons.oss-cn-shanghai.aliyuncs.com/{quote(key)}").key == key


@given(key=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200))
def test_a_percent_encoded_key_comes_back_whole(key: str) -> None:
    assert locate(f"https://lessons.oss-cn-shanghai.aliyuncs.com/{quote(key, safe='')}?x=1").key == key


ANY_TEXT = st.text(st.characters(exclude_categories=[]))
URLISH = st.lists(
    st.sampled_from(
        ["http://", "https://", "a.oss-cn-x.aliyuncs.com", "/", "?", "#", "@", ":", "[", "]", ".", "%", "%2F"]
    )
    | ANY_TEXT,
    max_size=12,
).map("".join)


@given(url=ANY_TEXT | URLISH | ANY_TEXT.map("https://media.example.com/{}".format))
@example("https://[::ffff:1.2.3.4]:99999/x")
@example("http://" + "a." * 200_000 + "/x")
@example("http://x/" + "%" * 1000)
def test_no_text_raises_anything_else_and_what_is_found_can_be_stored(url: str) -> None:
    try:
        found = locate(url)
    except UnreadableDelivery:
        return
    assert_storable(found)
    assert locate(found.url) == found


def assert_storable(found: Location) -> None:
    texts = [found.url, found.locator, found.path, found.host, found.bucket or "", found.key or ""]
    assert not any("\0" in text for text in texts)
    assert len(found.locator.encode()) < 1400
    assert len(found.url.encode()) < 4000
    assert not set("?#\\") & set(found.url)
