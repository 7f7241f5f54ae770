//! The hosts of Ferrule.
