"""W3C Web Annotations (JSON-LD): a collection whose one page has an annotation a failure.

The position selector counts Unicode code points, as the recommendation asks (code units would be
others beyond the BMP); the quote selector says the same words with what stands round them. What
people say of a finding is a body of it with the purpose "assessing".
"""

from collections.abc import Iterable, Iterator
from typing import Any

from app.exports.failure import Failure, compact

CONTEXT = "http://www.w3.org/ns/anno.jsonld"
_HEAD = {
    "@context": CONTEXT,
    "type": "AnnotationCollection",
    "label": "Failures in replies, from Retroscope. Positions are Unicode code points.",
}


def write(failures: Iterable[Failure]) -> Iterator[str]:
    yield compact(_HEAD)[:-1] + ',"first":{"type":"AnnotationPage","items":['
    between = "\n"
    for failure in failures:
        yield between + compact(annotation(failure))
        between = ",\n"
    yield "\n]}}\n"


def annotation(failure: Failure) -> dict[str, Any]:
    machine = failure.source == "machine"
    kind = "finding" if machine else "annotation"
    creator = (
        {"type": "Software", "name": f"Retroscope {failure.detector} {failure.version}"}
        if machine
        else {"type": "Person", "name": failure.annotator}
    )
    bodies: list[dict[str, Any]] = [_body("classifying", failure.kind)]
    if failure.note:
        bodies.append(_body("commenting", failure.note))
    for annotator, ruling in (failure.rulings or {}).items():
        person = {"type": "Person", "name": annotator}
        bodies.append({**_body("assessing", ruling), "creator": person})
    return {
        "@context": CONTEXT,
        "id": f"urn:x-retroscope:{kind}:{failure.id}",
        "type": "Annotation",
        "motivation": "classifying",
        "creator": creator,
        "created": failure.created,
        "body": bodies,
        "target": {
            "source": f"urn:x-retroscope:turn:{failure.turn.id}",
            "selector": [
                {"type": "TextPositionSelector", "start": failure.start, "end": failure.end},
                {
                    "type": "TextQuoteSelector",
                    "exact": failure.quote,
                    "prefix": failure.prefix,
                    "suffix": failure.suffix,
                },
            ],
        },
    }


def _body(purpose: str, value: str) -> dict[str, Any]:
    return {"type": "TextualBody", "purpose": purpose, "value": value, "format": "text/plain"}
