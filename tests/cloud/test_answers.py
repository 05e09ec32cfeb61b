from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.cloud.answers import Answer, parse_json, unwrap
from ble_ota.errors import AccountLockedError, ApiError, CloudAnswerError, Retry, TokenRejectedError


def unwrapped(body: str | bytes, status: int = 200, content_type: str = "application/json") -> object:
    content = body if isinstance(body, bytes) else body.encode()
    return unwrap(Answer(status, content_type, content), doing="trying")


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ('{"code": 200, "msg": "", "data": {"a": 1}, "extMsg": null}', {"a": 1}),
        ('{"code": "200", "data": [1]}', [1]),
        ('{"code": 200, "data": null}', None),
        ('{"code": 200}', None),
    ],
)
def test_a_good_envelope_gives_its_data(body: str, data: object) -> None:
    assert unwrapped(body) == data


@pytest.mark.parametrize("code", ["0", "201", '"0"', "-1"])
def test_only_two_hundred_is_success(code: str) -> None:
    with pytest.raises(ApiError):
        unwrapped(f'{{"code": {code}, "msg": "no"}}')


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500, 503])
def test_an_error_code_counts_whatever_the_http_status(status: int) -> None:
    with pytest.raises(TokenRejectedError):
        unwrapped('{"code": 5032, "msg": "no"}', status)


def test_an_error_code_as_text_is_read() -> None:
    with pytest.raises(AccountLockedError):
        unwrapped('{"code": "5147", "msg": "frozen"}')


@pytest.mark.parametrize("body", ["<!DOCTYPE html><p>hi", "  \n<html>", "<?xml version='1.0'?>"])
def test_a_web_page_is_called_one(body: str) -> None:
    with pytest.raises(CloudAnswerError, match="web page"):
        unwrapped(body)


def test_a_web_page_is_told_by_its_type_too() -> None:
    with pytest.raises(CloudAnswerError, match="web page"):
        unwrapped("Please log in", content_type="Text/HTML; charset=utf-8")


NOT_JSON = {
    "text": "OK",
    "nan": '{"code": 200, "data": NaN}',
    "infinity": '{"code": 200, "data": -Infinity}',
    "a name twice": '{"code": 200, "code": 5032}',
    "a name twice inside": '{"code": 200, "data": {"token": "a", "token": "b"}}',
    "half": '{"code": 200, "data"',
    "not utf-8": b'{"code": 200, "msg": "\xff"}',
    "deep lists": '{"code": 200, "data": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "endless number": '{"code": 200, "data": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_named(body: str | bytes) -> None:
    with pytest.raises(CloudAnswerError, match="not JSON"):
        unwrapped(body)


@pytest.mark.parametrize(
    "body",
    ["[]", "5", '"x"', "null", "{}", '{"code": null}', '{"code": true}', '{"code": 200.5}', '{"code": "x"}',
     '{"code": [200]}', '{"timestamp": 1, "status": 404, "error": "Not Found"}', '{"code": 99999999999}'],
)  # fmt: skip
def test_json_without_an_envelope_is_named(body: str) -> None:
    with pytest.raises(CloudAnswerError, match="envelope"):
        unwrapped(body)


def test_an_empty_body_is_named() -> None:
    with pytest.raises(CloudAnswerError, match="HTTP 200 with an empty body"):
        unwrapped("")


def test_a_redirect_is_named() -> None:
    with pytest.raises(CloudAnswerError, match="redirect"):
        unwrapped("", 302)


def test_success_within_a_failure_is_not_believed() -> None:
    with pytest.raises(CloudAnswerError, match="HTTP 500"):
        unwrapped('{"code": 200, "data": {}}', 500)


def test_a_server_fault_without_an_envelope_may_be_tried_later() -> None:
    with pytest.raises(CloudAnswerError) as refused:
        unwrapped('{"status": 502}', 502)
    assert refused.value.retry is Retry.LATER


def test_words_that_are_no_text_are_left_out() -> None:
    with pytest.raises(ApiError, match="9999: no message"):
        unwrapped('{"code": 9999, "msg": {"a": 1}}')


def test_a_secret_the_server_says_back_is_not_shown() -> None:
    answer = Answer(200, "", b'{"code": 9999, "msg": "token Bearer abc is bad"}')
    with pytest.raises(ApiError, match=r"9999: token \*\*\* is bad"):
        unwrap(answer, doing="trying", secrets=["Bearer abc"])


def test_a_body_is_not_shown() -> None:
    assert "Bearer" not in repr(Answer(200, "", b"Bearer abc"))


def test_what_could_not_be_read_is_not_quoted() -> None:
    with pytest.raises(CloudAnswerError) as refused:
        unwrapped("Bearer abc")
    assert "Bearer" not in str(refused.value)


@pytest.mark.parametrize(("status", "passing"), [(200, False), (404, False), (429, True), (500, True), (503, True)])
def test_a_passing_trouble_is_told_from_a_lasting_one(status: int, *, passing: bool) -> None:
    assert Answer(status).passing is passing


@given(st.binary(max_size=200), st.integers(100, 599))
def test_any_bytes_give_data_or_a_named_error(body: bytes, status: int) -> None:
    try:
        unwrap(Answer(status, "", body), doing="trying")
    except (ApiError, CloudAnswerError):
        return
    assert body.strip().startswith(b"{")


def test_json_with_two_names_is_read() -> None:
    assert parse_json('{"a": 1, "b": {"a": 2}}') == {"a": 1, "b": {"a": 2}}
