#![no_main]

libfuzzer_sys::fuzz_target!(init: postern_fuzz::seeds::write("ring_bodies"), |data: &[u8]| {
    postern_fuzz::ring_bodies(data);
});
