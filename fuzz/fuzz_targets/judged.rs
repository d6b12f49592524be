#![no_main]

#[path = "../targets/mod.rs"]
#[allow(dead_code)] // each target uses its own part
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::judged::judged(data));
