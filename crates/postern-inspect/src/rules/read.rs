//! From the file to [`Rules`].

use super::document::{
    self, AlertOrRefuse, AllowOrRefuse, Detectors, HoneyToken, MaskOrRefuse, Masked, Recorded, Tenants,
};
use super::{
    Action, ColumnName, Conditions, CustomPattern, Derived, Detector, Honey, MaskRule, RecordRule, Rules,
    RulesError, TenantRules, WithoutOrigin,
};
use crate::find::custom_expression;
use postern_types::ErrorDetail;
use serde_saphyr::Spanned;
use sha2::{Digest as _, Sha256};

/// Longest name that PostgreSQL keeps, in bytes.
const NAME_BYTES: usize = 63;
/// A shorter honey token would turn up by chance.
const HONEY_BYTES: usize = 6;
/// Most entries of one list of the file; more of them can't be searched for at once.
const ENTRIES: usize = 1000;

fn version(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

impl Rules {
    /// Reads `responses.yaml`.
    ///
    /// # Errors
    /// When it is not YAML, has an unknown field, or says something that makes no sense; with line and column.
    pub fn from_yaml(yaml: &str) -> Result<Rules, RulesError> {
        let document = document::read(yaml)?;
        if document.version.value != 1 {
            return Err(RulesError::at(
                &document.version,
                "this build reads response rules of `version: 1` only",
            ));
        }
        let masks: Vec<MaskRule> = document.masks.into_iter().map(mask).collect::<Result<_, _>>()?;
        Ok(Rules {
            errors: document.errors.unwrap_or(ErrorDetail::Full),
            max_rows: document.limits.max_rows,
            max_bytes: document.limits.max_bytes,
            over: document.limits.over,
            masks,
            record: recorded(document.record)?,
            tenants: document.tenants.map(tenants).transpose()?,
            custom: custom(&document.detectors)?,
            detectors: detectors(&document.detectors),
            honey: honey(document.honey)?,
            without_origin: match document.without_origin {
                Some(document::WithoutOriginWord::Refuse) => WithoutOrigin::Refuse,
                Some(document::WithoutOriginWord::Contract) | None => WithoutOrigin::Contract,
            },
            version: version(yaml),
        })
    }
}

fn mask(document: Masked) -> Result<MaskRule, RulesError> {
    let mask = document
        .mask
        .value
        .0
        .parse()
        .map_err(|error: postern_types::NoSuchMask| RulesError::at(&document.mask, error.to_string()))?;
    Ok(MaskRule {
        column: column(&document.column)?,
        mask,
        except_roles: document.except_roles.into_iter().map(|role| role.value).collect(),
        derived: match document.derived {
            Some(MaskOrRefuse::Refuse) => Derived::Refuse,
            Some(MaskOrRefuse::Mask) | None => Derived::Mask,
        },
        conditions: match document.conditions {
            Some(AllowOrRefuse::Refuse) => Conditions::Refuse,
            Some(AllowOrRefuse::Allow) | None => Conditions::Allow,
        },
    })
}

/// Columns of which values are recorded, each once.
fn recorded(documents: Vec<Recorded>) -> Result<Vec<RecordRule>, RulesError> {
    let mut rules: Vec<RecordRule> = Vec::with_capacity(documents.len());
    for document in documents {
        let column = column(&document.column)?;
        if rules.iter().any(|rule| rule.column == column) {
            return Err(RulesError::at(
                &document.column,
                format!("`{column}` is recorded twice; keep one"),
            ));
        }
        let keep = document.keep;
        rules.push(RecordRule { column, keep });
    }
    Ok(rules)
}

/// `schema.table.column`, each as PostgreSQL keeps it. Names with a dot in them are not offered.
fn column(text: &Spanned<String>) -> Result<ColumnName, RulesError> {
    let names: Vec<&str> = text.value.split('.').collect();
    match names.as_slice() {
        [schema, table, column] if names.iter().all(|name| is_name(name)) => Ok(ColumnName {
            schema: (*schema).to_owned(),
            table: (*table).to_owned(),
            column: (*column).to_owned(),
        }),
        _ => Err(RulesError::at(
            text,
            "a column is written `schema.table.column`, as `public.customers.card`",
        )),
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES).contains(&name.len()) && !name.contains('\0')
}

fn tenants(document: Tenants) -> Result<TenantRules, RulesError> {
    if document.columns.value.is_empty() {
        return Err(RulesError::at(
            &document.columns,
            "name at least one column that holds the tenant, as `columns: [tenant_id]`",
        ));
    }
    for name in &document.columns.value {
        // The names are searched for in JSON as well, where other characters may be written in several ways.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !is_name(&name.value) || !name.value.bytes().all(plain) {
            return Err(RulesError::at(
                name,
                "the name of a tenant column has letters, digits, `_` and `-` only",
            ));
        }
    }
    Ok(TenantRules {
        columns: document
            .columns
            .value
            .into_iter()
            .map(|name| name.value)
            .collect(),
        ignore_roles: document.ignore_roles.into_iter().map(|role| role.value).collect(),
        refuse_null: matches!(document.null_values, Some(AllowOrRefuse::Refuse)),
    })
}

fn detectors(document: &Detectors) -> Vec<(Detector, Action)> {
    let word = |detector: Detector| match detector {
        Detector::Card => document.card,
        Detector::Iban => document.iban,
        Detector::Email => document.email,
        Detector::Phone => document.phone,
        Detector::NationalId => document.national_id,
        Detector::PrivateKey => document.private_key,
        Detector::Jwt => document.jwt,
        Detector::CloudToken => document.cloud_token,
    };
    Detector::ALL
        .into_iter()
        .filter_map(|detector| Some((detector, word(detector)?.into())))
        .collect()
}

fn custom(document: &Detectors) -> Result<Vec<CustomPattern>, RulesError> {
    let read = |custom: &document::Custom| {
        if let Some(many) = document.custom.get(ENTRIES) {
            return Err(RulesError::at(
                &many.name,
                "more than 1,000 expressions; put some together",
            ));
        }
        custom_expression(&custom.pattern.value).map_err(|error| RulesError::at(&custom.pattern, error))?;
        Ok(CustomPattern {
            name: custom.name.value.clone(),
            pattern: custom.pattern.value.clone(),
            action: custom.action.into(),
        })
    };
    document.custom.iter().map(read).collect()
}

fn honey(document: Vec<HoneyToken>) -> Result<Vec<Honey>, RulesError> {
    if let Some(many) = document.get(ENTRIES) {
        return Err(RulesError::at(&many.name, "more than 1,000 honey tokens"));
    }
    let read = |token: HoneyToken| {
        if token.value.value.len() < HONEY_BYTES {
            return Err(RulesError::at(
                &token.value,
                "a honey token has at least six bytes; a shorter one would turn up by chance",
            ));
        }
        Ok(Honey {
            name: token.name.value,
            value: token.value.value,
            refuse: matches!(token.action, Some(AlertOrRefuse::Refuse)),
        })
    };
    document.into_iter().map(read).collect()
}
