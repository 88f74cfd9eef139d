#![no_main]

libfuzzer_sys::fuzz_target!(init: postern_fuzz::seeds::write("wire_frontend"), |data: &[u8]| {
    postern_fuzz::wire_frontend(data);
});
