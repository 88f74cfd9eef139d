#![no_main]

libfuzzer_sys::fuzz_target!(init: postern_fuzz::seeds::write("scram"), |data: &[u8]| {
    postern_fuzz::scram(data);
});
