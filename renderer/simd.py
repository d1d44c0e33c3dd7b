"""Eight samples or values at once: what the compiled loops of the studio style ask of a processor's vectors.

numba turns plain loops into vectors where it sees that this pays; for eight steps inside of loops over rows and
triangles it does not, or adds more checks than there are sums. These functions say what is meant. Every processor can
run them: where its vectors are shorter, LLVM takes several. They can be called from compiled code only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
_FLOATS, _INTS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
_CONTRACT = ("contract",)  # a product and a sum may be rounded once


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """A vector of `value` in every lane."""
    vector = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _pointer(context: Any, builder: ir.IRBuilder, array_type: types.Array, array: ir.Value, at: ir.Value, vector: Any):
    """Where the lanes of a flat array lie that begin at its element `at`."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [at], inbounds=True), vector.as_pointer())


def _load(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    loaded = builder.load(pointer)
    loaded.align = 4
    return loaded


def _plane(builder: ir.IRBuilder, start: ir.Value, step_x: ir.Value, x: ir.Value, step_y=None, y=None) -> ir.Value:
    """start + step_x * x + step_y * y."""
    value = builder.fadd(_splat(builder, start), builder.fmul(_splat(builder, step_x), x, _CONTRACT), _CONTRACT)
    if y is not None:
        value = builder.fadd(value, builder.fmul(_splat(builder, step_y), y, _CONTRACT), _CONTRACT)
    return value


def _draw(
    context: Any, builder: ir.IRBuilder, arrays: Any, at: Any, weights: Any, depth: Any, surface: Any, slack: Any
):
    """Writes depth and surface into the lanes that lie inside a triangle, where it is nearer than what is there."""
    (depths_type, depths), (surfaces_type, surfaces) = arrays
    b, c = weights
    a = builder.fsub(builder.fsub(ir.Constant(_FLOATS, [1.0] * LANES), b), c)
    depth_pointer = _pointer(context, builder, depths_type, depths, at, _FLOATS)
    surface_pointer = _pointer(context, builder, surfaces_type, surfaces, at, _INTS)
    before, surface_before = _load(builder, depth_pointer), _load(builder, surface_pointer)
    surface = _splat(builder, surface)
    slack = _splat(builder, slack)
    inside = builder.fcmp_ordered(">=", a, slack)
    for weight in (b, c):
        inside = builder.and_(inside, builder.fcmp_ordered(">=", weight, slack))
    nearer = builder.or_(
        builder.fcmp_ordered(">", depth, before),
        builder.and_(builder.fcmp_ordered("==", depth, before), builder.icmp_signed(">", surface, surface_before)),
    )
    seen = builder.and_(inside, nearer)
    for pointer, value, old in ((depth_pointer, depth, before), (surface_pointer, surface, surface_before)):
        builder.store(builder.select(seen, value, old), pointer).align = 4


@intrinsic
def draw_row(typing_context, depths, surfaces, at, b, b_dx, c, c_dx, depth, depth_dx, surface, slack):
    """Draws a triangle into eight samples side by side, of the flat buffers `depths` and `surfaces` from `at` on.

    b, c: two of its weights at the first sample, b_dx, c_dx how they change to the next; depth: 1 / distance, likewise.
    Where all three weights are at least `slack` and the triangle is nearer than what the buffers hold, or as near with
    a greater number, its depth and its int32 `surface` are written.
    """
    signature = types.void(depths, surfaces, types.int64, *[types.float32] * 6, types.int32, types.float32)

    def generate(context, builder, signature, arguments):
        depths, surfaces, at, b, b_dx, c, c_dx, depth, depth_dx, surface, slack = arguments
        steps = ir.Constant(_FLOATS, [float(step) for step in range(LANES)])
        weights = _plane(builder, b, b_dx, steps), _plane(builder, c, c_dx, steps)
        arrays = (signature.args[0], depths), (signature.args[1], surfaces)
        _draw(context, builder, arrays, at, weights, _plane(builder, depth, depth_dx, steps), surface, slack)
        return context.get_dummy_value()

    return signature, generate


def draw_pattern(pattern_x: tuple[float, ...], pattern_y: tuple[float, ...]) -> Any:
    """As `draw_row`, for samples that lie at `pattern_x`, `pattern_y` from a point: the weights are those of the point.

    Patterns have at most LANES samples; lanes beyond are never drawn into. The function made here takes depths,
    surfaces, at, b, b_dx, b_dy, c, c_dx, c_dy, depth, depth_dx, depth_dy, surface, slack.
    """
    left_over = LANES - len(pattern_x)
    xs = ir.Constant(_FLOATS, [*map(float, pattern_x), *[float("nan")] * left_over])  # NaN is inside of nothing
    ys = ir.Constant(_FLOATS, [*map(float, pattern_y), *[float("nan")] * left_over])

    @intrinsic
    def draw(
        typing_context, depths, surfaces, at, b, b_dx, b_dy, c, c_dx, c_dy, depth, depth_dx, depth_dy, surface, slack
    ):
        signature = types.void(depths, surfaces, types.int64, *[types.float32] * 9, types.int32, types.float32)

        def generate(context, builder, signature, arguments):
            depths, surfaces, at, b, b_dx, b_dy, c, c_dx, c_dy, depth, depth_dx, depth_dy, surface, slack = arguments
            weights = _plane(builder, b, b_dx, xs, b_dy, ys), _plane(builder, c, c_dx, xs, c_dy, ys)
            depth = _plane(builder, depth, depth_dx, xs, depth_dy, ys)
            arrays = (signature.args[0], depths), (signature.args[1], surfaces)
            _draw(context, builder, arrays, at, weights, depth, surface, slack)
            return context.get_dummy_value()

        return signature, generate

    return draw


@intrinsic
def reached(typing_context, columns, farthest, at, count, x, nearest, b, b_dx, b_reach, c, c_dx, c_reach, a_reach):
    """Which of up to eight pixels of one row a triangle may reach: the lowest bits of an int64.

    columns (int32), farthest (float32): flat, of these pixels from `at` on; count: how many. A pixel is reached where
    each weight is at least minus its `reach`, and where `nearest` is not below `farthest`. b, c: two weights at
    the column x, b_dx, c_dx how they change to the next.
    """
    signature = types.int64(columns, farthest, types.int64, types.int64, *[types.float32] * 9)

    def generate(context, builder, signature, arguments):
        columns, farthest, at, count, x, nearest, b, b_dx, b_reach, c, c_dx, c_reach, a_reach = arguments
        column = _load(builder, _pointer(context, builder, signature.args[0], columns, at, _INTS))
        behind = _load(builder, _pointer(context, builder, signature.args[1], farthest, at, _FLOATS))
        steps = builder.fsub(builder.sitofp(column, _FLOATS), _splat(builder, x))
        b, c = _plane(builder, b, b_dx, steps), _plane(builder, c, c_dx, steps)
        a = builder.fsub(builder.fsub(ir.Constant(_FLOATS, [1.0] * LANES), b), c)
        lanes = _splat(builder, builder.trunc(count, ir.IntType(32)))
        inside = builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), lanes)
        inside = builder.and_(inside, builder.fcmp_ordered("<=", behind, _splat(builder, nearest)))
        for weight, reach in ((a, a_reach), (b, b_reach), (c, c_reach)):
            inside = builder.and_(inside, builder.fcmp_ordered(">=", weight, builder.fneg(_splat(builder, reach))))
        return builder.zext(builder.bitcast(inside, ir.IntType(LANES)), ir.IntType(64))

    return signature, generate


@intrinsic
def any_of_eight(typing_context, octets, at):
    """Whether one of eight bytes of the flat uint8 array `octets`, from `at` on, is not 0."""

    def generate(context, builder, signature, arguments):
        word = builder.load(_pointer(context, builder, signature.args[0], *arguments, ir.IntType(64)))
        word.align = 1
        return builder.icmp_unsigned("!=", word, ir.Constant(ir.IntType(64), 0))

    return types.boolean(octets, types.int64), generate


@intrinsic
def lowest_bit(typing_context, bits):
    """The number of the lowest bit that is set; `bits` is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


def _values_at(context: Any, builder: ir.IRBuilder, planes_type: types.Array, planes: Any, at: Any, x: Any, y: Any):
    """Eight values at `at`, plus x times the eight behind them, plus y times the next eight."""

    def eight(offset: int) -> ir.Value:
        start = builder.add(at, ir.Constant(at.type, offset))
        return _load(builder, _pointer(context, builder, planes_type, planes, start, _FLOATS))

    value = builder.fadd(eight(0), builder.fmul(eight(LANES), _splat(builder, x), _CONTRACT), _CONTRACT)
    return builder.fadd(value, builder.fmul(eight(2 * LANES), _splat(builder, y), _CONTRACT), _CONTRACT)


def _lane(builder: ir.IRBuilder, vector: ir.Value, number: int) -> ir.Value:
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), number))


@intrinsic
def plane_values(typing_context, planes, at, x, y):
    """Six float32 values at x, y: from the flat array `planes`, eight at `at`, then their steps by x, and by y."""
    signature = types.UniTuple(types.float32, 6)(planes, types.int64, types.float32, types.float32)

    def generate(context, builder, signature, arguments):
        value = _values_at(context, builder, signature.args[0], *arguments)
        return context.make_tuple(builder, signature.return_type, [_lane(builder, value, k) for k in range(6)])

    return signature, generate


@intrinsic
def write_planes(typing_context, planes, at, lit, a, b, c, corners, corner, ax, ay, ux, uy, vx, vy):
    """Writes what `plane_values` reads, of the triangle with the corners a, b, c.

    lit (V * 4,): four values of each vertex; corners (F * 6,): from `corner` on, two more of each corner. Behind them
    ax, ay are kept, the first corner's place in the picture. u, v: the triangle's sides from there, over its double
    area.
    """
    signature = types.void(
        planes, types.int64, lit, types.int64, types.int64, types.int64, corners, types.int64, *[types.float32] * 6
    )

    def generate(context, builder, signature, arguments):
        planes, at, lit, a, b, c, corners, corner, ax, ay, ux, uy, vx, vy = arguments
        four, two = ir.VectorType(ir.FloatType(), 4), ir.VectorType(ir.FloatType(), 2)

        def at_corner(vertex, number, behind=None):
            first = builder.mul(vertex, ir.Constant(vertex.type, 4))
            values = _load(builder, _pointer(context, builder, signature.args[2], lit, first, four))
            place = builder.add(corner, ir.Constant(corner.type, 2 * number))
            more = _load(builder, _pointer(context, builder, signature.args[6], corners, place, two))
            more = builder.shuffle_vector(
                more, ir.Constant(two, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 4), [0, 1, 0, 1])
            )
            for lane, value in enumerate(behind or ()):
                more = builder.insert_element(more, value, ir.Constant(ir.IntType(32), 2 + lane))
            return builder.shuffle_vector(values, more, ir.Constant(_INTS, list(range(LANES))))

        def write(offset, values):
            start = builder.add(at, ir.Constant(at.type, offset))
            builder.store(values, _pointer(context, builder, signature.args[0], planes, start, _FLOATS)).align = 4

        def across(first, factor, second, other):
            """first * factor - second * other."""
            product = builder.fmul(second, _splat(builder, other), _CONTRACT)
            return builder.fsub(builder.fmul(first, _splat(builder, factor), _CONTRACT), product, _CONTRACT)

        start = at_corner(a, 0, (ax, ay))
        u, v = (builder.fsub(at_corner(vertex, number), start) for vertex, number in ((b, 1), (c, 2)))
        write(0, start)
        write(LANES, across(u, vy, v, uy))
        write(2 * LANES, across(v, ux, u, vx))
        return context.get_dummy_value()

    return signature, generate


def _four(builder: ir.IRBuilder, vector: ir.Value, lanes: Sequence[int]) -> ir.Value:
    """Some four lanes of eight."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), 4), list(lanes))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _sample(context: Any, builder: ir.IRBuilder, texels_type: types.Array, texels: Any, size: Any, x: Any, y: Any):
    """Four channels, as floats, between the four texels about x, y.

    texels: flat, uint32; size: their width, and the greatest x and y that are read.
    """
    width, last_x, last_y = size

    def place(at: ir.Value, last: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Whole and broken part of a coordinate, moved inside."""
        zero = ir.Constant(ir.FloatType(), 0.0)
        at = builder.select(builder.fcmp_ordered(">", at, zero), at, zero)
        at = builder.select(builder.fcmp_ordered("<", at, last), at, last)
        whole = builder.fptosi(at, ir.IntType(32))
        broken = builder.fsub(at, builder.sitofp(whole, ir.FloatType()))
        return builder.sext(whole, ir.IntType(64)), broken

    def pair(row: ir.Value) -> ir.Value:
        """Two texels side by side."""
        first = builder.add(builder.mul(row, width), column)
        octets = ir.VectorType(ir.IntType(8), LANES)
        loaded = _load(builder, _pointer(context, builder, texels_type, texels, first, octets))
        return builder.sitofp(builder.zext(loaded, _INTS), _FLOATS)

    def between(first: ir.Value, second: ir.Value, share: ir.Value) -> ir.Value:
        return builder.fadd(first, builder.fmul(builder.fsub(second, first), share, _CONTRACT), _CONTRACT)

    (column, u), (row, v) = place(x, last_x), place(y, last_y)
    both = between(pair(row), pair(builder.add(row, ir.Constant(row.type, 1))), _splat(builder, v))
    share = _four(builder, _splat(builder, u), range(4))
    return between(_four(builder, both, range(4)), _four(builder, both, range(4, 8)), share)


def texture_light(highlight: tuple[float, float, float]) -> Any:
    """A function that gives the linear light of a textured point, red, green and blue.

    It takes planes, at, x, y as `plane_values`, whose values are red, green, blue, strength of the highlight, and the
    place in the texture; the flat uint32 array of texels, R, G, B as square roots from the lowest byte on; its width;
    and how far to the right and down it is read. `highlight`: the highlight's colour.
    """
    four = ir.VectorType(ir.FloatType(), 4)
    colour = ir.Constant(four, [*map(float, highlight), 0.0])

    @intrinsic
    def light(typing_context, planes, at, x, y, texels, width, last_u, last_v):
        signature = types.UniTuple(types.float32, 3)(
            planes, types.int64, types.float32, types.float32, texels, types.int64, types.float32, types.float32
        )

        def generate(context, builder, signature, arguments):
            planes, at, x, y, texels, *size = arguments
            value = _values_at(context, builder, signature.args[0], planes, at, x, y)
            u, v = _lane(builder, value, 4), _lane(builder, value, 5)
            root = _sample(context, builder, signature.args[4], texels, size, u, v)
            root = builder.fmul(root, ir.Constant(four, [1 / 255] * 4))
            lit = builder.fmul(builder.fmul(_four(builder, value, range(4)), root), root)
            lit = builder.fadd(lit, builder.fmul(_four(builder, value, [3] * 4), colour, _CONTRACT), _CONTRACT)
            return context.make_tuple(builder, signature.return_type, [_lane(builder, lit, k) for k in range(3)])

        return signature, generate

    return light


@intrinsic
def write_run(typing_context, maps, at, further, count, depth, depth_dx, x, x_dx, y, y_dx):
    """Writes depth, x and y of up to eight pixels side by side, where the depth is not above the one that is there.

    maps: flat float32: x, then y from `further` on, then depths, from twice that on; at: the first pixel; count: how
    many may be written; the values at the first, and how they change to the next.
    """
    signature = types.void(maps, types.int64, types.int64, types.int64, *[types.float32] * 6)

    def generate(context, builder, signature, arguments):
        maps, at, further, count, *planes = arguments
        steps = ir.Constant(_FLOATS, [float(step) for step in range(LANES)])
        depth, x, y = (_plane(builder, planes[k], planes[k + 1], steps) for k in (0, 2, 4))
        places = [at, builder.add(at, further), builder.add(builder.add(at, further), further)]
        x_at, y_at, depth_at = (_pointer(context, builder, signature.args[0], maps, at, _FLOATS) for at in places)
        before = _load(builder, depth_at)
        lanes = _splat(builder, builder.trunc(count, ir.IntType(32)))
        inside = builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), lanes)
        seen = builder.and_(inside, builder.fcmp_ordered("<=", depth, before))
        for pointer, value, old in ((depth_at, depth, before), (x_at, x, None), (y_at, y, None)):
            value = builder.select(seen, value, _load(builder, pointer) if old is None else old)
            builder.store(value, pointer).align = 4
        return context.get_dummy_value()

    return signature, generate
