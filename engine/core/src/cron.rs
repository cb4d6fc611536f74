//! Ten times a second: the expiry cycle, save points, scheduled saves, mirrors of figures into `stats`. R5 owns this file.
