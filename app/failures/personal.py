"""Personal data in a reply, by its form: addresses, telephone, card and account numbers.

The evidence says which kind it is and whether it also stands in a passage or the message, and
repeats no value; the quote is the reply's own text.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator

from app.failures.protocol import Detector, finding
from app.failures.reading import without_code
from app.records import Finding, Turn

_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}[^\W\d_]{2,24}\b"
    r"|(?<![\w.+-])[\w.+-]{1,64} ?[(\[] ?at ?[)\]] ?[\w-]{1,63}(?: ?(?:[(\[] ?dot ?[)\]]|\.) ?"
    r"[\w-]{2,63}){1,4}",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"[(\[] ?at ?[)\]]", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?<!\d )(?:"
    r"(?:\+|00)[1-9]\d{0,2}[ .-]?(?:\(0?\d{0,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,5}"
    r"|\(\d{2,5}\)[ .-]?\d{3,4}(?:[ .-]?\d{2,4}){1,3}"
    r"|\d{3}[ .-]\d{3}[ .-]\d{4}"
    r"|0\d{1,4}[ /-]\d{3,4}(?:[ -]?\d{2,4}){1,3}"
    r")(?![\w-]|[.,]\d)"
)
_CALLED = re.compile(
    r"\b(?:phone|telephone|tel|call|mobile|cell|ring|dial|text|whatsapp|fax|number|reach)\b"
    r"[^\n]{0,30}$",
    re.IGNORECASE,
)
_SHORT_PHONE = re.compile(r"(?<![\w.,/+-])\d{3}[ -]\d{4}(?![\w-]|[.,]\d)")
_NO_PHONE = re.compile(
    r"(?:\b(?:isbn|issn|doi|pages?|pp?\.|order|invoice|serial|part|model|version|between|catalogue"
    r"|years?|from|patent|ticket|case|reference|ref|sku|accession|tracking|coordinates?)\b\W{0,3}"
    r"(?:no\.?|number|code|is|nr)?\W{0,3})$",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]|[.,]\d)")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_VERSION = re.compile(r"\b(?:version|release|v|section|build|chapter|firmware)\.?\s{0,2}$", re.I)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")

WHAT = {
    "email": "the form of an e-mail address",
    "card": "the form of a payment card number, and its check digit (Luhn) is right",
    "iban": "the form of a bank account number (IBAN), and its check digits are right",
    "ip": "the form of a public internet address",
    "ssn": "the form of a US social security number",
    "phone": "the form of a telephone number",
}


def find(turn: Turn) -> list[Finding]:
    """`personal.<kind>`; where two forms fit the same characters, the first of `WHAT`."""
    return [_finding(turn, *found) for found in forms(without_code(turn.reply.text))]


def forms(text: str) -> list[tuple[str, int, int]]:
    """(kind, start, end) of all that has such a form in a text, in its order."""
    found: list[tuple[str, int, int]] = []
    for kind, search in _SEARCHES.items():
        for start, end in search(text):
            if not any(a < end and start < b for _, a, b in found):
                found.append((kind, start, end))
    return sorted(found, key=lambda one: one[1])


def _finding(turn: Turn, kind: str, start: int, end: int) -> Finding:
    value = turn.reply.text[start:end]
    passages = [turn.passage]
    passages += [n.text + n.continuation for c in turn.reply.chunks for n in c.neighbours]
    in_passages, in_message = any(value in p for p in passages), value in turn.message
    places = [
        name
        for name, there in (("a passage shown", in_passages), ("the message", in_message))
        if there
    ]
    also = f" It also stands in {' and in '.join(places)}." if places else ""
    return finding(
        f"personal.{kind}",
        turn.reply.text,
        (start, end),
        score=1.0,
        threshold=1.0,
        severity="info" if in_message else "warn",
        explanation=f"This has {WHAT[kind]}.{also}",
        evidence={"type": kind, "in_passages": in_passages, "in_message": in_message},
    )


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text or _HIDDEN.search(text):
        yield from (match.span() for match in _EMAIL.finditer(text))


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _PHONE.finditer(text):
        digits = sum(c.isdigit() for c in match.group())
        before = text[max(match.start() - 40, 0) : match.start()]
        if 7 <= digits <= 15 and not _NO_PHONE.search(before) and not _years(match.group()):
            yield match.span()
    for match in _SHORT_PHONE.finditer(text):
        before = text[max(match.start() - 40, 0) : match.start()]
        if _CALLED.search(before) and not _NO_PHONE.search(before):
            yield match.span()


def _years(digits: str) -> bool:
    """Two years or two dates: nothing but groups of four that begin with 1 or 2."""
    groups = re.findall(r"\d+", digits)
    return all(len(group) == 4 and group[0] in "12" for group in groups)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        digits = [int(c) for c in match.group() if c.isdecimal()]
        if 13 <= len(digits) <= 19 and len(set(digits)) > 2 and _luhn(digits):
            yield match.span()


def _luhn(digits: list[int]) -> bool:
    doubled = [2 * d - 9 if d > 4 else 2 * d for d in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    """Shorter readings are tried where the last group is a word that follows."""
    for match in _IBAN.finditer(text):
        candidate = match.group()
        while len(candidate) >= 15:
            plain = candidate.replace(" ", "")
            number = "".join(str(int(c, 36)) for c in plain[4:] + plain[:4])
            if len(plain) >= 15 and int(number) % 97 == 1:
                yield match.start(), match.start() + len(candidate)
                break
            candidate = candidate.rpartition(" ")[0]


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Public ones: a router's 192.168.1.1 is nobody's."""
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            if _VERSION.search(text, max(match.start() - 12, 0), match.start()):
                continue
            try:
                address = ipaddress.ip_address(match.group())
            except ValueError:
                continue
            if address.is_global:
                yield match.span()


def _numbers(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _SSN.finditer(text))


_SEARCHES: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails, "card": _cards, "iban": _ibans, "ip": _addresses, "ssn": _numbers,
    "phone": _phones,
}  # fmt: skip

PERSONAL = Detector("personal", "1", find)
