//! The allocator seam: all keyspace memory comes through here. R1 owns this file.
