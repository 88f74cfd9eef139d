use super::*;

#[test]
fn the_command_line_is_consistent_for_every_stage() {
    for stage in Stage::ALL {
        command(&program(stage)).debug_assert();
        let help = command(&program(stage)).render_long_help().to_string();
        assert!(help.contains(&format!("postern-{stage} --config")), "{help}");
    }
}

#[test]
fn config_is_required() {
    assert!(
        command(&program(Stage::Backend))
            .try_get_matches_from(["postern-backend"])
            .is_err()
    );
    assert!(
        command(&program(Stage::Backend))
            .try_get_matches_from(["postern-backend", "--config", "x"])
            .is_ok()
    );
    assert!(
        command(&program(Stage::Backend))
            .try_get_matches_from(["postern-backend", "--config", "x", "y"])
            .is_err()
    );
}

#[test]
fn configuration_errors_are_known_below_their_context() {
    use anyhow::Context;
    let error = Err::<(), _>(ConfigError {
        file: "f".into(),
        position: None,
        message: "m".into(),
    })
    .context("starting")
    .unwrap_err();
    assert!(is_configuration(&error));
    assert!(!is_configuration(&anyhow::anyhow!("something else")));
}
