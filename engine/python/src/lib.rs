//! The Python module `sidecar._engine`: a thin PyO3 binding over `perdure_engine`, nothing else.
//! Every call returns at once; no call holds the GIL while it waits for a lock or a disk.

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
