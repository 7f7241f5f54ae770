#![doc = "See the function of this name in the library."]
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| ferrule_fuzz::manifest(octets));
