#![no_main]

libfuzzer_sys::fuzz_target!(init: postern_fuzz::seeds::write("answers"), |data: &[u8]| {
    postern_fuzz::answers(data);
});
