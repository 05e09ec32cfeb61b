"""What the Developer Center's error codes mean and what to do about each (the vendor's error list and API pages)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ble_ota.cloud.text import one_line
from ble_ota.errors import AccountLockedError, ApiError, LoginRefusedError, TokenRejectedError

OK = 200
SERVICE_EXCEPTION = 5000
TOKEN_EXPIRED = 5032  # "token verification failed": the one that a refresh can mend

_DOMAIN = "Check `user_domain`: it stands on the app's details page of the Developer Center, beside its secret"
_SECRET = "Check `user_domain_secret` (app's details page), and that the account belongs to this `--cloud` region"  # noqa: S105
_REGION = "The account lives in another data centre: choose it with `--cloud`"
_RIGHTS = "Check that the device is bound to this account: `ble-ota whoami` shows which one it is"
_FIELDS = "Check the endpoint's field names in the settings: the call did not carry what the platform looks for"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One code: which error it is, its words, and a hint (None: the error's own)."""

    error: type[ApiError]
    words: str
    hint: str | None = None


def _attempts(left: int, account: str) -> Meaning:
    attempts = "1 more attempt" if left == 1 else f"{left} more attempts"
    hint = f"{attempts} before the account is frozen: check the name and the password first"
    return Meaning(LoginRefusedError, f"wrong {account} or password", hint)


CODES: Mapping[int, Meaning] = MappingProxyType(
    {
        SERVICE_EXCEPTION: Meaning(ApiError, "service exception", "The platform has a fault: try again later"),
        5013: Meaning(ApiError, "bad user domain format", _DOMAIN),
        5015: Meaning(ApiError, "the user domain does not exist", _DOMAIN),
        5022: Meaning(LoginRefusedError, "password missing", "Give a password"),
        5023: Meaning(ApiError, "user domain missing", _DOMAIN),
        5026: Meaning(LoginRefusedError, "e-mail missing", "Give the account's e-mail address"),
        5028: Meaning(LoginRefusedError, "wrong password"),
        5031: Meaning(LoginRefusedError, "e-mail not registered", f"Check the e-mail address. {_REGION}"),
        TOKEN_EXPIRED: Meaning(TokenRejectedError, "token verification failed"),
        5033: Meaning(LoginRefusedError, "the user does not exist", f"Check the name. {_REGION}"),
        5040: Meaning(LoginRefusedError, "bad e-mail", "Check the e-mail address"),
        5041: Meaning(ApiError, "no permission", _RIGHTS),
        5047: Meaning(ApiError, "user authentication mismatch", _RIGHTS),
        5052: Meaning(ApiError, "device not bound", "Bind the device to this account with the vendor's app first"),
        5056: Meaning(LoginRefusedError, "bad password format", "The platform's passwords have 6 to 20 characters"),
        5066: Meaning(ApiError, "product key missing", _FIELDS),
        5067: Meaning(ApiError, "device key missing", _FIELDS),
        5104: Meaning(ApiError, "user domain disabled", "Enable the app in the Developer Center"),
        5106: Meaning(TokenRejectedError, "token missing"),
        5115: Meaning(TokenRejectedError, "refresh token missing"),
        5141: Meaning(ApiError, "no permission to query this device", _RIGHTS),
        5147: Meaning(AccountLockedError, "account frozen", "Wait 20 minutes; more attempts make it longer"),
        5148: Meaning(AccountLockedError, "IP address blocked", "Wait 20 minutes; more attempts make it longer"),
        5325: Meaning(AccountLockedError, "access blocked", "Wait 24 hours: the platform saw abnormal behaviour"),
        5327: Meaning(
            ApiError, "no product permission", "Give the app the right to this product in the Developer Center"
        ),
        5358: Meaning(
            ApiError, "no product permission", "Give the app the right to this product in the Developer Center"
        ),
        5420: Meaning(ApiError, "signature verification failed", _SECRET),
        5550: Meaning(
            ApiError, "signature missing", "Choose a `signature` recipe in the settings: this call wants one"
        ),
        **{5578 + left: _attempts(left, "phone number") for left in range(1, 5)},
        **{5582 + left: _attempts(left, "e-mail") for left in range(1, 5)},
        6084: Meaning(ApiError, "the country code is not of this data centre", _REGION),
        6085: Meaning(ApiError, "the country code's data centre is not known", _REGION),
    }
)

LOCKED_S: Mapping[int, float] = {5147: 20 * 60, 5148: 20 * 60, 5325: 24 * 3600}
"""Code to the seconds for which the platform locks an account or an address, as the hints above say."""

TOKEN_REFUSED = Meaning(TokenRejectedError, "no message")  # of a refresh: its codes are not documented
UNKNOWN = Meaning(ApiError, "no message", "Look the code up in the Developer Center's error list")


def api_error(code: int, msg: str, *, doing: str) -> ApiError:
    """Make the error for `code`; `msg` is the server's own text, shown clean and cut to 200 characters."""
    meaning = CODES.get(code, UNKNOWN)
    return meaning.error(code, one_line(msg) or meaning.words, doing=doing, hint=meaning.hint)


def ends_session(code: int) -> bool:
    """Return True if a refresh refused with `code` means that only a new login helps; codes not listed do."""
    return issubclass(CODES.get(code, TOKEN_REFUSED).error, TokenRejectedError | LoginRefusedError)
