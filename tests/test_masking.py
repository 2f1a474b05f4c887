"""The mask of personal data."""

from app.failures.masking import MASK, Masker, Value
from app.store.masked import UNKNOWN
from engine.tokenizer import UNKNOWN as OF_THE_TOKENIZER
from tests.filled import MAIL, PHONE


def test_overlapping_values_are_masked_once():
    masker = Masker([f"{MAIL}", "smith@example.org"])
    text = f"x {MAIL} y"
    assert masker.mask(text) == f"x {MASK * len(MAIL)} y"
    assert [(a, b) for a, b, _ in masker.found(text)] == [(2, 2 + len(MAIL))]


def test_code_is_masked_too():
    assert MAIL not in Masker([f"`{MAIL}`"]).mask(f"`{MAIL}`")


def test_a_mask_is_no_value_of_its_own():
    masker = Masker([MAIL, PHONE])
    once = masker.mask(f"{MAIL} {PHONE}")
    assert Masker([once]).values == () and masker.mask(once) == once


def test_numbers_and_words_are_masked_only_where_they_are_part_of_a_value():
    masker = Masker([PHONE])
    given = {"a": 7946, "b": 79, "c": True, "d": 1411, "e": 7946.0}
    kept = {"b": 79, "c": True, "d": 1411}
    assert masker.mask_json(given, parts=True) == {"a": 0, **kept, "e": 0}
    assert masker.mask_parts("17946 but 7946, 958") == f"17946 but {MASK * 4}, {MASK * 3}"


def test_a_hash_tells_equal_values_and_no_value():
    assert Value("a", MAIL).hash == Value("b", MAIL).hash != Value("a", PHONE).hash
    assert len(Value("a", MAIL).hash) == 12


def test_the_id_of_an_unknown_token_is_the_tokenizers():
    assert UNKNOWN == OF_THE_TOKENIZER
