#![no_main]

libfuzzer_sys::fuzz_target!(init: postern_fuzz::seeds::write("envelope"), |data: &[u8]| {
    postern_fuzz::envelope(data);
});
