//! Faults of a disk on demand: a library for `LD_PRELOAD` that stands between a process and the C
//! library's file calls. `PERDURE_SHIM` says what goes wrong at which call below which folder
//! (`orders` has the grammar); without it everything passes through. For tests only.
//!
//! A process forks under locks, and the child may not allocate (I1): so after its start the shim
//! takes no lock, allocates nothing, and makes its own calls as bare system calls. Its counters lie
//! in memory that parent and children share.

// A test of the shim itself does not stand in the C library's place.
#[cfg_attr(test, allow(dead_code))]
mod calls;
#[cfg_attr(test, allow(dead_code))]
mod orders;
#[cfg_attr(test, allow(dead_code))]
mod place;
#[cfg_attr(test, allow(dead_code))]
mod shim;
