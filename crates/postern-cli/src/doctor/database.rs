//! The database: asked with the Backend's own credentials.

use super::policy::roles;
use super::report::{Area, Report, Status};
use super::ring::Examined;
use super::survey::{self, HbaLine, Role, Survey, Table};
use postern_catalog::Catalog;
use postern_policy::Policy;
use std::collections::BTreeSet;

/// The versions that are tried.
const VERSIONS: std::ops::RangeInclusive<u32> = 15..=18;

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    match survey::read(ring) {
        Ok(survey) => {
            server(&survey, report);
            login(&survey, report);
            open_schemas(&survey, report);
            hba(&survey, report);
            if let Ok(policy) = &ring.policy {
                taken_on(&survey, policy, report);
                tenants(&survey, policy, report);
                grants(&survey, policy, report);
            }
            catalog(ring, report);
        }
        Err(error) => report.about(Area::Database).fail(
            "database",
            format!("it could not be asked: {error:#}"),
            "start it, or mend [database] in backend.toml",
        ),
    }
}

fn server(survey: &Survey, report: &mut Report) {
    let server = &survey.server;
    let mut section = report.about(Area::Database);
    let major = server.server_version / 10_000;
    let version = format!("PostgreSQL {major}.{}", server.server_version % 10_000);
    if VERSIONS.contains(&major) {
        section.pass("version", version);
    } else {
        section.warn(
            "version",
            format!("{version} was never tried"),
            "use one of 15 to 18",
        );
    }
    match (&server.connection_tls, server.ssl) {
        (Some(tls), _) => section.pass("tls-used", format!("the Backend's connection is under {tls}")),
        (None, true) => section.fail(
            "tls-used",
            "the database offers TLS and the Backend does not use it",
            "set tls = \"verify-full\" and ca_file in [database] of backend.toml",
        ),
        (None, false) => section.fail(
            "tls-used",
            "the database has ssl = off",
            "give it a certificate and ssl = on, then set tls = \"verify-full\" in backend.toml",
        ),
    }
    match server.password_encryption.as_str() {
        "scram-sha-256" => section.pass("password-encryption", "scram-sha-256"),
        other => section.fail(
            "password-encryption",
            format!("the database makes {other} passwords"),
            "ALTER SYSTEM SET password_encryption = 'scram-sha-256', and set the passwords anew",
        ),
    }
    match server.log_connections.as_deref() {
        Some("off" | "") => report.about(Area::Monitoring).warn(
            "database-log",
            "the database does not log who connects",
            "ALTER SYSTEM SET log_connections = on",
        ),
        _ => report
            .about(Area::Monitoring)
            .pass("database-log", "the database logs who connects"),
    }
}

/// What a role may do past all grants and row-level security.
fn powers(role: &Role) -> Vec<&'static str> {
    [
        (role.superuser, "SUPERUSER"),
        (role.bypassrls, "BYPASSRLS"),
        (role.createrole, "CREATEROLE"),
        (role.createdb, "CREATEDB"),
        (role.replication, "REPLICATION"),
    ]
    .into_iter()
    .filter_map(|(has, name)| has.then_some(name))
    .collect()
}

fn login(survey: &Survey, report: &mut Report) {
    let mut section = report.about(Area::Database);
    let name = &survey.server.login;
    let own = survey.roles.iter().find(|role| role.name == *name);
    let held: Vec<String> = own
        .map(powers)
        .unwrap_or_default()
        .into_iter()
        .map(|power| format!("{name} has {power}"))
        .collect();
    section.each(
        "login-role",
        Status::Fail,
        &held,
        "ALTER ROLE ... NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION",
        "the Backend's login role has no power of its own",
    );
    if own.is_some_and(|role| role.inherit) {
        section.warn(
            "login-inherits",
            format!("{name} has the rights of its roles without taking them on"),
            format!("ALTER ROLE {name} NOINHERIT, or grant roles WITH INHERIT FALSE"),
        );
    } else {
        section.pass(
            "login-inherits",
            "the login role has only the rights of the role that it takes on",
        );
    }
    match survey.server.owned {
        0 => section.pass("login-owns", "the login role owns nothing"),
        owned => section.fail(
            "login-owns",
            format!("{name} owns {owned} things; an owner is held by no grant"),
            format!("REASSIGN OWNED BY {name} TO another role"),
        ),
    }
}

/// Roles that a session can be given, and others that the login role could take on.
fn taken_on(survey: &Survey, policy: &Policy, report: &mut Report) {
    let mut section = report.about(Area::Database);
    let named: BTreeSet<String> = roles(policy)
        .map(|(_, rights)| rights.database_role().to_owned())
        .collect();
    let there = |name: &str| survey.roles.iter().any(|role| role.name == name);
    let missing: Vec<String> = named
        .iter()
        .filter(|name| !there(name))
        .map(|name| format!("{} is no member of {name}", survey.server.login))
        .collect();
    section.each(
        "roles-missing",
        Status::Fail,
        &missing,
        "CREATE ROLE it, and GRANT it to the login role; users of that policy role can't sign in",
        "each database_role of the policy is there and can be taken on",
    );
    let more: Vec<String> = survey
        .roles
        .iter()
        .filter(|role| role.name != survey.server.login && !named.contains(&role.name))
        .map(|role| format!("{} may take on {}", survey.server.login, role.name))
        .collect();
    section.each(
        "roles-beyond",
        Status::Fail,
        &more,
        "REVOKE it: a hijacked Query Validator or Backend could use it",
        "the login role may take on what the policy names and nothing else",
    );
    let mut strong = Vec::new();
    for role in survey.roles.iter().filter(|role| named.contains(&role.name)) {
        strong.extend(
            powers(role)
                .into_iter()
                .map(|power| format!("{} has {power}", role.name)),
        );
    }
    section.each(
        "roles-powers",
        Status::Fail,
        &strong,
        "take it away with ALTER ROLE: no policy and no row-level security would hold",
        "no role that sessions run as has power of its own",
    );
}

fn full(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

/// Row-level security of tables that belong to tenants.
fn tenants(survey: &Survey, policy: &Policy, report: &mut Report) {
    let mut section = report.about(Area::Database);
    let named: BTreeSet<String> = roles(policy)
        .map(|(_, rights)| rights.database_role().to_owned())
        .collect();
    let shared: Vec<&Table> = survey
        .tables
        .iter()
        .filter(|table| !table.is_view && policy.is_tenant_table(&table.schema, &table.name, &table.columns))
        .collect();
    if policy.tenant_column().is_none() {
        return section.pass("row-security", "the policy names no tenants");
    }
    let owned: Vec<String> = shared
        .iter()
        .filter(|table| named.contains(&table.owner))
        .map(|table| format!("{} owns {}", table.owner, full(table)))
        .collect();
    section.each(
        "tenant-owners",
        Status::Fail,
        &owned,
        "ALTER TABLE ... OWNER TO a role that no session runs as",
        "no role that sessions run as owns a table of tenants",
    );
    let mut loose = Vec::new();
    for table in &shared {
        match (table.row_security, table.row_security_forced) {
            (true, true) => {}
            (true, false) => loose.push(format!("{} does not force it on its owner", full(table))),
            (false, _) => loose.push(format!("{} has none", full(table))),
        }
    }
    section.each(
        "row-security",
        Status::Fail,
        &loose,
        "ALTER TABLE ... ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, with a policy on the tenant",
        "row-level security is on, and forced, for every table of tenants",
    );
}

/// What a database role may do with tables beyond what its policy role ever could.
fn grants(survey: &Survey, policy: &Policy, report: &mut Report) {
    let mut beyond = Vec::new();
    for (role, rights) in roles(policy) {
        let Some((words, schemas)) = rights.table_privileges() else {
            continue;
        };
        let database_role = rights.database_role();
        for table in &survey.tables {
            let held = table
                .grants
                .get(database_role)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let outside = !schemas.contains(&table.schema.as_str());
            let more: Vec<&str> = held
                .iter()
                .map(String::as_str)
                .filter(|word| outside || !words.contains(word))
                .collect();
            if !more.is_empty() {
                beyond.push(format!(
                    "{database_role} (role {role}) may {} on {}",
                    more.join(", "),
                    full(table)
                ));
            }
        }
    }
    report.about(Area::Authorisation).each(
        "grants",
        Status::Warn,
        &beyond,
        "REVOKE what the policy never lets through: rights in the database are the second line",
        "no database role may do more with tables than its lists in the policy",
    );
}

fn open_schemas(survey: &Survey, report: &mut Report) {
    let open: Vec<String> = survey
        .open_schemas
        .iter()
        .map(|schema| format!("everybody may make things in schema {schema}"))
        .collect();
    report.about(Area::Database).each(
        "public-create",
        Status::Fail,
        &open,
        "REVOKE CREATE ON SCHEMA ... FROM PUBLIC",
        "nobody makes tables or functions where others look for theirs",
    );
}

/// Lines of pg_hba.conf by which somebody gets in without a good password.
fn lax(line: &HbaLine) -> Option<String> {
    let number = line.line.unwrap_or_default();
    let kind = line.r#type.as_deref().unwrap_or_default();
    let method = line.method.as_deref().unwrap_or_default();
    if let Some(error) = &line.error {
        return Some(format!("line {number} has an error: {error}"));
    }
    let local = kind == "local"
        || line.address.as_deref().is_some_and(|address| {
            matches!(address, "samehost" | "localhost")
                || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        });
    let wide = line
        .netmask
        .as_deref()
        .is_some_and(|mask| matches!(mask, "0.0.0.0" | "::"));
    match method {
        "trust" => Some(format!(
            "line {number} lets in {} without a password",
            line.user.join(",")
        )),
        "md5" | "password" => Some(format!("line {number} uses {method}")),
        _ if kind == "hostnossl" && !local => Some(format!("line {number} lets in without TLS")),
        "reject" | "cert" => None,
        _ if wide => Some(format!("line {number} lets in from every address")),
        _ => None,
    }
}

fn hba(survey: &Survey, report: &mut Report) {
    let mut section = report.about(Area::Database);
    let Some(lines) = &survey.hba else {
        return section.warn(
            "pg-hba",
            "the login role may not read pg_hba_file_rules, which is right; nobody looked at pg_hba.conf",
            "see that it lets the login role in from the Backend's machine only, by scram-sha-256, under hostssl",
        );
    };
    let lax: Vec<String> = lines.iter().filter_map(lax).collect();
    section.each(
        "pg-hba",
        Status::Fail,
        &lax,
        "mend pg_hba.conf: hostssl, scram-sha-256, the Backend's machine only",
        "pg_hba.conf lets nobody in without a good password",
    );
}

/// Whether the policy's catalogue is that of the database.
fn catalog(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Authorisation);
    let mend = "postern catalog DIR, and look at what it says";
    let Ok(text) = std::fs::read(ring.ring.catalog_file()) else {
        return section.warn("catalog", "there is no catalogue: rules go by names alone", mend);
    };
    let known = match Catalog::from_json(&text) {
        Ok(known) => known,
        Err(error) => return section.fail("catalog", format!("catalog.json can't be read: {error}"), mend),
    };
    let now = match survey::ask(ring, "--catalog").map(|text| Catalog::from_json(&text)) {
        Ok(Ok(now)) => now,
        Ok(Err(error)) => {
            return section.fail(
                "catalog",
                format!("the database can't be described: {error}"),
                mend,
            );
        }
        Err(error) => return section.fail("catalog", format!("{error:#}"), mend),
    };
    let changes = now.changes_since(&known);
    if changes.is_empty() {
        return section.pass("catalog", "the catalogue is that of the database");
    }
    let changed: Vec<String> = [
        ("new", &changes.added),
        ("gone", &changes.removed),
        ("changed", &changes.changed),
    ]
    .into_iter()
    .flat_map(|(how, names)| names.iter().map(move |name| format!("{how}: {name}")))
    .collect();
    section.each("catalog", Status::Fail, &changed, mend, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> HbaLine {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn lines_that_let_in_too_easily_are_named() {
        let bad = [
            r#"{"line": 1, "type": "local", "user": ["all"], "method": "trust"}"#,
            r#"{"line": 2, "type": "host", "user": ["all"], "address": "10.0.0.0", "netmask": "255.0.0.0", "method": "md5"}"#,
            r#"{"line": 3, "type": "hostssl", "user": ["a"], "address": "0.0.0.0", "netmask": "0.0.0.0", "method": "scram-sha-256"}"#,
            r#"{"line": 4, "type": "hostnossl", "user": ["a"], "address": "10.0.0.1", "netmask": "255.255.255.255", "method": "scram-sha-256"}"#,
            r#"{"line": 5, "error": "invalid"}"#,
        ];
        for text in bad {
            assert!(lax(&line(text)).is_some(), "{text}");
        }
        let good = [
            r#"{"line": 1, "type": "hostssl", "user": ["a"], "address": "10.0.0.1", "netmask": "255.255.255.255", "method": "scram-sha-256"}"#,
            r#"{"line": 2, "type": "host", "user": ["all"], "address": "0.0.0.0", "netmask": "0.0.0.0", "method": "reject"}"#,
            r#"{"line": 3, "type": "local", "user": ["all"], "method": "peer"}"#,
        ];
        for text in good {
            assert_eq!(lax(&line(text)), None, "{text}");
        }
    }
}
