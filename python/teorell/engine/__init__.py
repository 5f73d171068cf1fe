"""Programs run: LLVM IR, object code, and the calls of the extension `_core`."""
