//! Examples: one file each, in this folder.
