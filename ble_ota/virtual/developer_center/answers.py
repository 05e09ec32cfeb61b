"""What every answer looks like: `{"code", "msg", "data", "extMsg"}`, code 200 for success.

Business errors come with HTTP status 200 (*inferred*: not documented, but third-party clients read them so).
Codes and their words are the vendor's error code page, in which no code speaks of upgrades; 5011 stands for a
malformed upgrade request here (*inferred*).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

SUCCESS = 200

MESSAGES = {
    5004: "The mobile number is not registered.",
    5011: "Device information format verification failed.",
    5015: "The user domain does not exist.",
    5021: "Please input your mobile number.",
    5022: "Please input your password.",
    5023: "Please input your user domain.",
    5026: "Please input your email address.",
    5031: "The email address is not registered.",
    5032: "Token verification failed.",
    5040: "Incorrect email address.",
    5052: "Device is not bound.",
    5056: "Incorrect password format. Please enter 6-20 letters, numbers or special characters.",
    5066: "Please input the ProductKey.",
    5067: "Please input the DeviceKey.",
    5106: "Please input the token.",
    5115: "Please input the refreshed token.",
    5140: "Please input the PK, DK or share code.",
    5147: "Your account has been temporarily locked. Please try again after 20 minutes.",
    5325: "Access has been blocked for 24 hours because of abnormal behavior.",
    5420: "Signature verification failed.",
    5550: "Please input the signature.",
    5579: "Incorrect mobile number or password. You have 1 more attempt.",
    5580: "Incorrect mobile number or password. You have 2 more attempts.",
    5581: "Incorrect mobile number or password. You have 3 more attempts.",
    5582: "Incorrect mobile number or password. You have 4 more attempts.",
    5583: "Incorrect email address or password. You have 1 more attempt.",
    5584: "Incorrect email address or password. You have 2 more attempts.",
    5585: "Incorrect email address or password. You have 3 more attempts.",
    5586: "Incorrect email address or password. You have 4 more attempts.",
}


class RefusedError(Exception):
    """The request is answered with an error code."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{MESSAGES[code]} {detail}".rstrip())
        self.code = code


def answered(data: object = None) -> JSONResponse:
    """Wrap the data of a request that succeeded."""
    return enveloped(SUCCESS, "", data)


def enveloped(code: int, message: str, data: object = None) -> JSONResponse:
    """Wrap any code, message and data."""
    return JSONResponse({"code": code, "msg": message, "data": data, "extMsg": None})


async def refused(_: Request, error: Exception) -> JSONResponse:
    """Tell a refusal; Starlette calls this for every `RefusedError`."""
    if not isinstance(error, RefusedError):
        raise error
    return enveloped(error.code, str(error))
