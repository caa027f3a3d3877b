"""Matrix products by cuBLAS: fully connected layers, in full float32 or, where asked for, in TF32; and many at once."""

import numpy as np

from ._cuda import Launcher


class Products(Launcher):
    """The linear layer and its gradients. `tf32` is CupyOps'."""

    def _linear(self, x, weight, bias, relu):
        y = self._product(x, weight.T)
        if bias is not None or relu:
            self._bias_relu(y, bias, relu)
        return y

    def _linear_input_grad(self, dy, weight):
        return self._product(dy, weight)

    def _linear_weight_grad(self, dy, x):
        return self._product(dy.T, x)

    def _product(self, a, b):
        """Return a b, (m, k) times (k, n), by cuBLAS.

        cuBLAS thinks in columns: what it takes for the columns of cᵀ = bᵀ aᵀ are the rows of c.
        """
        cublas, handle = self.xp.cuda.cublas, self.xp.cuda.device.get_cublas_handle()
        (m, k), n = a.shape, b.shape[1]
        if not m * n * k:
            return self.xp.zeros((m, n), dtype=a.dtype)
        c = self.xp.empty((m, n), dtype=a.dtype)
        (a, a_turned, lda), (b, b_turned, ldb) = (self._by_rows(matrix) for matrix in (a, b))
        gemm = cublas.sgemm if a.dtype == np.float32 else cublas.dgemm
        one, zero = np.ones(1, a.dtype), np.zeros(1, a.dtype)
        cublas.setMathMode(handle, cublas.CUBLAS_TF32_TENSOR_OP_MATH if self.tf32 else cublas.CUBLAS_DEFAULT_MATH)
        try:
            gemm(handle, b_turned, a_turned, n, m, k, one.ctypes.data, b.data.ptr, ldb, a.data.ptr, lda, zero.ctypes.data,
                 c.data.ptr, n)
        finally:
            cublas.setMathMode(handle, cublas.CUBLAS_DEFAULT_MATH)       # CuPy's own products share the handle
        return c

    def _by_rows(self, matrix):
        """Return a matrix with rows or columns contiguous, whether it is the columns, and the step between them."""
        if matrix.T.flags.c_contiguous and not matrix.flags.c_contiguous:
            return matrix, 1, matrix.shape[0]
        return self._plain(matrix), 0, matrix.shape[1]

    def _multiply(self, a, b, c, add=False):
        """Set c = a b or add it to c, for each of P products (P, m, k) times (P, k, n), in full precision.

        a, b and c are views in which rows are contiguous, or columns in a and b.
        """
        def steps(views):
            """Return whether columns are contiguous, the step between them or between rows, and that between matrices."""
            matrix, row, column = (stride // views.itemsize for stride in views.strides)
            return (0, row, matrix) if column == 1 else (1, column, matrix)

        cublas, handle = self.xp.cuda.cublas, self.xp.cuda.device.get_cublas_handle()
        (P, m, k), n = a.shape, b.shape[2]
        (a_turned, *a_steps), (b_turned, *b_steps), (_, *c_steps) = (steps(views) for views in (a, b, c))
        gemm = cublas.sgemmStridedBatched if a.dtype == np.float32 else cublas.dgemmStridedBatched
        one, beta = np.ones(1, a.dtype), np.full(1, add, a.dtype)
        gemm(handle, b_turned, a_turned, n, m, k, one.ctypes.data, b.data.ptr, *b_steps, a.data.ptr, *a_steps,
             beta.ctypes.data, c.data.ptr, *c_steps, P)                      # by columns, see _product
