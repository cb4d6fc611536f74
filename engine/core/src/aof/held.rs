//! A log in memory that tests hold, release and fail: it proves the reply gate without a disk (R3 completes).
