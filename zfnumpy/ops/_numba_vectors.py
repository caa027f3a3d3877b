"""Code on vectors of numbers, written for LLVM: for the few loops whose registers the compiler must not choose.

`vector_code` makes of a Python function that writes such code one that kernels can call. It becomes a function of its
own in the compiled module: it is compiled once there, however often it is called, and its loops stay as they are.
"""

import inspect

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

INDEX = ir.IntType(64)


class Vectors:
    """Writes code with a builder, on vectors of `lanes` numbers of one dtype; offsets are counted in numbers."""

    def __init__(self, context, builder, dtype, lanes):
        self.builder, self.lanes = builder, lanes
        self.scalar = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, lanes)
        self._bits = 32 if dtype == types.float32 else 64
        self._align = self.scalar.get_abi_alignment(context.target_data)
        self._fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fma.v{lanes}f{self._bits}")

    def number(self, value):
        """Return an index as a constant, or the value itself where it is computed."""
        return ir.Constant(INDEX, value) if isinstance(value, int) else value

    def constant(self, value):
        """Return a vector of one number."""
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def times(self, a, b):
        return self.builder.mul(self.number(a), self.number(b))

    def place(self, start, *offsets):
        """Return the pointer that is the offsets' sum past `start`."""
        for offset in offsets:
            start = self.builder.gep(start, [self.number(offset)])
        return start

    def load(self, start, *offsets):
        """Return the vector there, wherever it lies."""
        value = self.builder.load(self.builder.bitcast(self.place(start, *offsets), self.vector.as_pointer()))
        value.align = self._align
        return value

    def store(self, value, start, *offsets):
        """Store a vector there, wherever it lies."""
        place = self.builder.bitcast(self.place(start, *offsets), self.vector.as_pointer())
        self.builder.store(value, place).align = self._align

    def _first(self, count):
        """Return a mask of the lanes below `count`."""
        lanes = ir.VectorType(INDEX, self.lanes)
        undefined, first = ir.Constant(lanes, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        counts = self.builder.shuffle_vector(self.builder.insert_element(undefined, count, first), undefined,
                                             ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes))
        return self.builder.icmp_signed("<", ir.Constant(lanes, list(range(self.lanes))), counts)

    def _masked(self, what, result, *arguments):
        """Call LLVM's masked load or store; a processor without them reads or writes lane by lane."""
        name = f"llvm.masked.{what}.v{self.lanes}f{self._bits}.p0v{self.lanes}f{self._bits}"
        function = cgutils.get_or_insert_function(self.builder.module,
                                                  ir.FunctionType(result, [a.type for a in arguments]), name)
        return self.builder.call(function, arguments)

    def load_first(self, count, start, *offsets):
        """Return the vector whose first `count` numbers lie there, zero from then on; what lies beyond is not touched."""
        place = self.builder.bitcast(self.place(start, *offsets), self.vector.as_pointer())
        return self._masked("load", self.vector, place, ir.Constant(ir.IntType(32), self._align), self._first(count),
                            self.constant(0))

    def store_first(self, count, value, start, *offsets):
        """Store the first `count` numbers of a vector there."""
        place = self.builder.bitcast(self.place(start, *offsets), self.vector.as_pointer())
        self._masked("store", ir.VoidType(), value, place, ir.Constant(ir.IntType(32), self._align), self._first(count))

    def shuffle(self, a, b, lanes):
        """Return the numbers of a and b, counted on, at `lanes`."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))

    def transposed(self, rows):
        """Return the columns of as many rows as there are lanes: in turn blocks of 1, 2, 4, … change places."""
        n, size, rows = self.lanes, 1, list(rows)
        while size < n:
            for i in range(n):
                if not i & size:
                    a, b = rows[i], rows[i + size]
                    rows[i] = self.shuffle(a, b, [lane if not lane & size else n + lane - size for lane in range(n)])
                    rows[i + size] = self.shuffle(a, b, [lane + size if not lane & size else n + lane for lane in range(n)])
            size *= 2
        return rows

    def broadcast(self, start, *offsets):
        """Return a vector of the one number there."""
        first, undefined = ir.IntType(32), ir.Constant(self.vector, ir.Undefined)
        value = self.builder.insert_element(undefined, self.builder.load(self.place(start, *offsets)), ir.Constant(first, 0))
        return self.builder.shuffle_vector(value, undefined, ir.Constant(ir.VectorType(first, self.lanes), [0] * self.lanes))

    def fma(self, a, b, c):
        """Return a b + c, rounded once."""
        return self.builder.call(self._fma, [a, b, c])

    def repeat(self, count, carried, step):
        """Run carried = step(k, *carried) for k = 0 … count - 1, in registers, and return what is carried in the end."""
        builder = self.builder
        before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed(">", count, self.number(0)), loop, done)
        builder.position_at_end(loop)
        k, *inside = [builder.phi(value.type) for value in (self.number(0), *carried)]
        later = step(k, *inside)
        following = builder.add(k, self.number(1))
        for phi, first, new in zip((k, *inside), (self.number(0), *carried), (following, *later)):
            phi.add_incoming(first, before)
            phi.add_incoming(new, builder.block)
        self._never_unroll(builder.cbranch(builder.icmp_signed("<", following, count), loop, done))
        end = builder.block
        builder.position_at_end(done)
        found = []
        for first, new in zip(carried, later):
            phi = builder.phi(first.type)
            phi.add_incoming(first, before)
            phi.add_incoming(new, end)
            found.append(phi)
        return found

    def _never_unroll(self, branch):
        """Mark a loop by its branch back: unrolled, it would want more registers than there are and run at half the rate."""
        module = branch.parent.parent.module
        unroll = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        loop = module.add_metadata([unroll])
        loop.operands = (loop, unroll)                       # a loop's mark names itself first
        branch.set_metadata("llvm.loop", loop)


def vector_code(arguments, lanes, write, in_python, name):
    """Return a function for kernels that runs the code which write(Vectors, *arguments) writes.

    arguments: a letter each, "a" for a contiguous array of numbers, "i" for an array of indices or channels, "n" for a
    whole number; write takes an array's pointer. lanes: a function of the dtype's size. Without compiling it is `in_python`.
    """
    if config.DISABLE_JIT:
        return in_python

    def typed(typing, *given):
        signature = types.void(*(types.intp if letter == "n" else kind for letter, kind in zip(arguments, given)))
        dtype = next(kind.dtype for letter, kind in zip(arguments, given) if letter == "a")

        def codegen(context, builder, signature, args):
            values = [value if letter == "n" else context.make_array(kind)(context, builder, value).data
                      for letter, kind, value in zip(arguments, signature.args, args)]
            called = ".".join([name, *(str(kind.dtype) for kind in signature.args if kind != types.intp)])
            function = builder.module.globals.get(called)
            if function is None:
                function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [v.type for v in values]), called)
                function.linkage = "internal"
                function.attributes.add("noinline")
                function.attributes.add("nounwind")
                inner = ir.IRBuilder(function.append_basic_block("entry"))
                write(Vectors(context, inner, dtype, lanes(dtype.bitwidth // 8)), *function.args)
                inner.ret_void()
            builder.call(function, values)
            return context.get_dummy_value()

        return signature, codegen

    names = ["typing", *(f"{letter}{i}" for i, letter in enumerate(arguments))]
    typed.__signature__ = inspect.Signature([inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names])
    return intrinsic(typed)
