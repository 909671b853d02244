"""What a model wrote as a call's arguments, be it whole or not, be it what it was asked for or not. Pure."""

from pydantic_core import from_json

from understudy.protocol.base import JsonObject


def code_of(arguments: str) -> str:
    """Return the code in a call's arguments, be they whole or not; some models write bare code."""
    begun = arguments.lstrip()
    if not begun.startswith("{"):
        return arguments
    try:
        given = from_json(begun, allow_partial="trailing-strings")
    except ValueError:
        return ""
    code = given.get("code") if isinstance(given, dict) else None
    return code if isinstance(code, str) else ""


def object_of(arguments: str) -> JsonObject:
    """Return whole arguments. Raises ValueError, with a sentence for the model, if they are no JSON object."""
    try:
        given = from_json(arguments)
    except ValueError as problem:
        raise ValueError(
            f"the arguments are not valid JSON ({problem}). Call the tool again with valid JSON."
        ) from None
    if not isinstance(given, dict):
        raise ValueError("the arguments are not a JSON object. Call the tool again with a JSON object.")
    return given
