"""Names of languages: one by its tag, en-GB, by its name, English, or as Whisper writes it."""

from functools import cache


def code_language(name: str) -> str:
    """Returns the code of a language, such as ``en`` for ``en-GB``, ``English`` or ``<|en|>``.

    A name that is not known stays, in lower case.
    """
    plain = name.strip().strip("<|>").lower()
    code = plain.replace("_", "-").partition("-")[0]
    return code if len(code) <= 3 else _codes().get(plain, plain)


@cache
def _codes() -> dict[str, str]:
    """Returns the codes of the languages that Whisper knows, by their English names."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return TO_LANGUAGE_CODE
