"""The C source of a static program: its memory, its tensors, and its calls as tables that the linker fills in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tvm_memopt.export.kernels import SYMBOL_PREFIX
from tvm_memopt.export.program import StaticProgram, Value, View

ALIGNMENT = 128
"""Alignment of every memory of a program: that of the longest vectors that targets have."""
CONSTANTS_FILE = "constants.bin"
DOCUMENT_FILE = "document.json"
DOCUMENT_SECTION = ".memopt"
# DLPack's codes.
_TYPE_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "bool": 6}


def constant_offsets(program: StaticProgram) -> list[int]:
    """The place of each constant in the file of constants, and the size of the file at the end."""
    offsets = [0]
    for array in program.constants:
        end = offsets[-1] + int(array.nbytes)
        offsets.append(-(-end // ALIGNMENT) * ALIGNMENT)
    return offsets


def constant_bytes(program: StaticProgram) -> bytes:
    """The file of constants."""
    content = bytearray(constant_offsets(program)[-1])
    for offset, array in zip(constant_offsets(program), program.constants, strict=False):
        data = array.tobytes()
        content[offset : offset + len(data)] = data
    return bytes(content)


def program_source(program: StaticProgram) -> str:
    """The C source. It includes the files of constants and of the document by name, through the assembler."""
    tensors = list(dict.fromkeys(a for call in program.calls for a in call.arguments if isinstance(a, View)))
    return "\n".join(
        [
            '#include "memopt.h"',
            "",
            *_memories(program),
            *_kernels(program),
            *_tensors(program, tensors),
            *_calls(program, tensors),
            *_ends(program),
            "",
        ]
    )


def _memories(program: StaticProgram) -> list[str]:
    lines = [f"const uint64_t memopt_arena_nbytes = {program.arena_nbytes};"]
    lines += [_array("unsigned char memopt_arena", program.arena_nbytes + 2 * ALIGNMENT)]
    sizes = {f"input{i}": value.nbytes for i, value in enumerate(program.inputs)}
    sizes |= {f"storage{i}": nbytes for i, nbytes in enumerate(program.storages)}
    lines += [_array(f"static unsigned char {name}", nbytes) for name, nbytes in sizes.items()]
    if program.constants:
        lines.append(f'MEMOPT_INCLUDE(".rodata.memopt,\\"a\\"", "memopt_constants", "{CONSTANTS_FILE}")')
        lines.append("extern const unsigned char memopt_constants[];")
    lines.append(f'MEMOPT_INCLUDE("{DOCUMENT_SECTION},\\"\\"", "memopt_document", "{DOCUMENT_FILE}")')
    return lines


def _array(declaration: str, nbytes: int) -> str:
    return f"{declaration}[{max(1, nbytes)}] __attribute__((aligned({ALIGNMENT})));"


def _kernels(program: StaticProgram) -> list[str]:
    """Declarations. Assembler names, since names of kernels need not be identifiers of C."""
    return [
        f'extern memopt_kernel kernel{i} __asm__("{SYMBOL_PREFIX}{_quoted(name)}");'
        for i, name in enumerate(program.kernels)
    ]


def _tensors(program: StaticProgram, tensors: Sequence[View]) -> list[str]:
    shapes = [f"static const int64_t shape{i}[] = {{{_list(t.shape) or '0'}}};" for i, t in enumerate(tensors)]
    rows = []
    for i, tensor in enumerate(tensors):
        kind = f"{_type_code(tensor.dtype)}, {_bits(tensor.dtype)}, 1"
        rows.append(
            f"  {{(void *)({_address(program, tensor)}), {{1, 0}}, {len(tensor.shape)}, {{{kind}}}, "
            f"(int64_t *)shape{i}, 0, 0}},"
        )
    return [*shapes, "static DLTensor tensors[] = {", *(rows or ["  {0}"]), "};"]


def _calls(program: StaticProgram, tensors: Sequence[View]) -> list[str]:
    number = {tensor: i for i, tensor in enumerate(tensors)}
    order = {name: i for i, name in enumerate(program.kernels)}
    lines, rows = [], []
    for i, call in enumerate(program.calls):
        values = [
            f"{{MEMOPT_INTEGER, 0, {{.integer = {argument}}}}}"
            if isinstance(argument, int)
            else f"{{MEMOPT_TENSOR, 0, {{.tensor = &tensors[{number[argument]}]}}}}"
            for argument in call.arguments
        ]
        lines.append(f"static const memopt_any arguments{i}[] = {{{', '.join(values)}}};")
        rows.append(f'  {{kernel{order[call.kernel]}, "{_quoted(call.kernel)}", arguments{i}, {len(values)}}},')
    count = len(program.calls)
    return [
        *lines, "const memopt_call memopt_calls[] = {", *(rows or ["  {0}"]), "};",
        f"const uint32_t memopt_call_count = {count};", f"memopt_counts memopt_call_counts[{max(1, count)}];",
    ]  # fmt: skip


def _ends(program: StaticProgram) -> list[str]:
    inputs = [_end(value, f"input{i}") for i, value in enumerate(program.inputs)]
    outputs = [
        _end(value, _address(program, view)) for value, view in zip(program.output_values, program.outputs, strict=True)
    ]
    return [*_table("memopt_input", inputs), *_table("memopt_output", outputs)]


def _table(name: str, rows: Sequence[str]) -> list[str]:
    return [
        f"const memopt_value {name}s[] = {{", *(rows or ["  {0}"]), "};", f"const uint32_t {name}_count = {len(rows)};"
    ]  # fmt: skip


def _end(value: Value, address: str) -> str:
    return f'  {{"{_quoted(value.name)}", (unsigned char *)({address}), {value.nbytes}}},'


def _address(program: StaticProgram, view: View) -> str:
    if view.memory == "constant":
        return f"memopt_constants + {constant_offsets(program)[view.index] + view.offset}"
    base = "memopt_arena" if view.memory == "arena" else f"{view.memory}{view.index}"
    return f"{base} + {view.offset}"


def _type_code(dtype: str) -> int:
    letters = dtype.rstrip("0123456789")
    if letters not in _TYPE_CODES:
        raise ValueError(f"type {dtype} has no code in DLPack that kernels understand")
    return _TYPE_CODES[letters]


def _bits(dtype: str) -> int:
    return 8 if dtype == "bool" else int(dtype.lstrip("abcdefghijklmnopqrstuvwxyz"))


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _quoted(text: str) -> str:
    """Text inside a string of C."""
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\{ord(c) & 0xFF:03o}" for c in text)
