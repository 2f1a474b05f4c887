"""Random weights for the peer, llama.cpp: GGUF files of GPT-2's architecture in our sizes.

    .bench/bin/python -m tests.benchmarks.gguf_shapes gopher-44m int8 gopher-44m-int8.gguf

Every matrix has the width asked for, the tied head as well; vectors and positions are float32, as
llama.cpp's own converter leaves them. Gopher has one more matrix a layer (for the distances), but
its products are computed once for all positions, so that a token reads the same bytes in both.
"""

import argparse
import os
from pathlib import Path

import gguf  # pyright: ignore[reportMissingImports]  # in .bench only
import numpy as np

from engine.presets import Preset, preset

WIDTHS = {  # ours -> the type of a matrix and of a file in llama.cpp
    "int8": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "int4": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
    "float32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
}


def write(path: Path, p: Preset, numbers: str) -> None:
    """A GGUF file, whole or not at all."""
    kind, file_kind = WIDTHS[numbers]
    rng = np.random.default_rng(0)
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, "gpt2")
    describe(writer, p, int(file_kind))

    def matrix(name: str, *shape: int) -> None:
        values = 0.02 * rng.standard_normal(shape, np.float32)
        if numbers != "float32":
            values = gguf.quants.quantize(values, kind)
        writer.add_tensor(name, values, raw_dtype=kind)

    def fill(name: str, *shape: int, value: float = 0.0) -> None:
        writer.add_tensor(name, np.full(shape, value, np.float32))

    D, F = p.width, p.ffw
    matrix("token_embd.weight", p.vocab, D)
    fill("position_embd.weight", p.context, D, value=0.01)
    norms = ["output_norm"]
    for layer in range(p.layers):
        block = f"blk.{layer}"
        norms += [f"{block}.attn_norm", f"{block}.ffn_norm"]
        sizes = {
            "attn_qkv": (3 * D, D),
            "attn_output": (D, D),
            "ffn_up": (F, D),
            "ffn_down": (D, F),
        }
        for name, (rows, columns) in sizes.items():
            matrix(f"{block}.{name}.weight", rows, columns)
            fill(f"{block}.{name}.bias", rows)
    for name in norms:
        fill(f"{name}.weight", D, value=1.0)
        fill(f"{name}.bias", D)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, path)


def describe(writer: gguf.GGUFWriter, p: Preset, file_kind: int) -> None:
    writer.add_name(p.name)
    writer.add_block_count(p.layers)
    writer.add_context_length(p.context)
    writer.add_embedding_length(p.width)
    writer.add_feed_forward_length(p.ffw)
    writer.add_head_count(p.heads)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(file_kind)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_tokenizer_model("gpt2")  # a tokenizer has to be there; ids are all that is fed
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{i}".encode() for i in range(p.vocab)])
    writer.add_token_types([gguf.TokenType.NORMAL] * p.vocab)
    writer.add_token_merges(["t 0"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset")
    parser.add_argument("numbers", choices=WIDTHS)
    parser.add_argument("path", type=Path)
    flags = parser.parse_args()
    flags.path.parent.mkdir(parents=True, exist_ok=True)
    write(flags.path, preset(flags.preset), flags.numbers)


if __name__ == "__main__":
    main()
