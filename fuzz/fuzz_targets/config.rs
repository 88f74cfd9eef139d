#![no_main]

libfuzzer_sys::fuzz_target!(init: postern_fuzz::seeds::write("config"), |data: &[u8]| {
    postern_fuzz::config(data);
});
