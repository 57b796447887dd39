//! The functions with which clients ask about the server and its catalogs: `version()`, `format_type(...)`,
//! `current_setting(...)`. They depend on the session, so each statement has its own.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, StringViewArray, StringViewBuilder, UInt32Array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::catalog::CatalogView;
use crate::catalog::pg_type::{PgType, by_name, by_oid, format_type, sql_name};
use crate::catalog::system::{OWNER, OWNER_OID, is_visible, quote_ident};
use crate::error::QueryError;
use crate::session::Settings;
use crate::values::zone;

/// A setting changed by `set_config`.
#[derive(Debug)]
pub struct SettingChange {
    /// The setting.
    pub name: String,
    /// Its new value, checked.
    pub value: String,
    /// Whether it ends with the transaction.
    pub local: bool,
}

/// The settings changed while a statement ran, in order.
pub type PendingSettings = Arc<Mutex<Vec<SettingChange>>>;

/// The functions of one statement.
pub(in crate::query) struct CatalogFunctions {
    view: CatalogView,
    search_path: Vec<String>,
    set_config: PendingSettings,
    /// When the statement was planned, in microseconds since 1970.
    now: i64,
}

impl CatalogFunctions {
    /// The functions of a statement. `search_path`: the schemas in which names are looked for, if it asks for them.
    pub(in crate::query) fn new(
        view: CatalogView,
        search_path: Vec<String>,
        set_config: PendingSettings,
    ) -> Self {
        Self {
            view,
            search_path,
            set_config,
            now: chrono::Utc::now().timestamp_micros(),
        }
    }

    /// The function `name`, if it is one of these.
    pub(in crate::query) fn get(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let zone = self.view.settings.time_zone();
        if let Some(function) = super::get(name, zone) {
            return Some(function);
        }
        let kind = self.kind(name)?;
        let function = CatalogFunction {
            name: name.to_owned(),
            signature: Signature::one_of(
                vec![
                    datafusion::logical_expr::TypeSignature::Nullary,
                    datafusion::logical_expr::TypeSignature::VariadicAny,
                ],
                kind.volatility(),
            ),
            kind,
        };
        Some(Arc::new(ScalarUDF::new_from_impl(function)))
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        let view = &self.view;
        let text = |text: &str| Kind::Constant(ScalarValue::Utf8View(Some(text.to_owned())));
        let boolean = |value: bool| Kind::Constant(ScalarValue::Boolean(Some(value)));
        let no_text = || Kind::Constant(ScalarValue::Utf8View(None));
        Some(match name {
            "version" => text(concat!(
                "PostgreSQL 15.0 (Causeway ",
                env!("CARGO_PKG_VERSION"),
                ")"
            )),
            "current_database" | "current_catalog" => text(&view.database),
            "current_user" | "session_user" | "user" | "current_role" => text(&view.user),
            "current_schema" => Kind::Constant(ScalarValue::Utf8View(self.search_path.first().cloned())),
            "current_schemas" => Kind::Schemas(self.search_path.clone()),
            "pg_backend_pid" => Kind::Constant(ScalarValue::Int32(Some(view.session_id))),
            "pg_client_encoding" | "pg_encoding_to_char" => text("UTF8"),
            "pg_char_to_encoding" => Kind::Constant(ScalarValue::Int32(Some(6))),
            "pg_table_is_visible" => Kind::IsVisible,
            "pg_type_is_visible"
            | "pg_function_is_visible"
            | "pg_collation_is_visible"
            | "pg_operator_is_visible"
            | "pg_opclass_is_visible"
            | "pg_conversion_is_visible"
            | "pg_statistics_obj_is_visible"
            | "has_table_privilege"
            | "has_column_privilege"
            | "has_any_column_privilege"
            | "has_schema_privilege"
            | "has_database_privilege"
            | "has_function_privilege"
            | "pg_has_role" => boolean(true),
            "pg_is_in_recovery"
            | "pg_relation_is_publishable"
            | "pg_is_other_temp_schema"
            | "pg_try_advisory_lock"
            | "pg_advisory_unlock"
            | "row_security_active" => boolean(false),
            "pg_advisory_unlock_all"
            | "pg_get_expr"
            | "pg_get_constraintdef"
            | "pg_get_indexdef"
            | "pg_get_viewdef"
            | "pg_get_partkeydef"
            | "pg_get_ruledef"
            | "pg_get_triggerdef"
            | "pg_get_functiondef"
            | "pg_get_function_arguments"
            | "pg_get_function_identity_arguments"
            | "pg_get_function_result"
            | "pg_get_serial_sequence"
            | "pg_get_statisticsobjdef_columns"
            | "pg_tablespace_location"
            | "obj_description"
            | "col_description"
            | "shobj_description"
            | "inet_server_addr"
            | "inet_client_addr" => no_text(),
            "pg_relation_size"
            | "pg_table_size"
            | "pg_total_relation_size"
            | "pg_indexes_size"
            | "pg_database_size"
            | "pg_stat_get_numscans" => Kind::Constant(ScalarValue::Int64(None)),
            "txid_current" => Kind::Constant(ScalarValue::Int64(Some(1))),
            "pg_my_temp_schema" => Kind::Constant(ScalarValue::UInt32(Some(0))),
            "inet_server_port" => Kind::Constant(ScalarValue::Int32(None)),
            "pg_postmaster_start_time" | "pg_conf_load_time" => Kind::Constant(
                ScalarValue::TimestampMicrosecond(Some(start_time()), Some("UTC".into())),
            ),
            "now"
            | "current_timestamp"
            | "transaction_timestamp"
            | "statement_timestamp"
            | "clock_timestamp" => Kind::Constant(ScalarValue::TimestampMicrosecond(
                Some(self.now),
                Some("UTC".into()),
            )),
            "current_date" => {
                let local = zone::to_local(view.settings.time_zone(), self.now);
                let days = local.div_euclid(86_400_000_000);
                Kind::Constant(ScalarValue::Date32(i32::try_from(days).ok()))
            }
            "format_type" => Kind::FormatType,
            "pg_get_userbyid" => Kind::UserName(view.clone()),
            "to_regtype" => Kind::TypeNumber,
            "quote_ident" => Kind::QuoteIdent,
            "quote_literal" | "quote_nullable" => Kind::QuoteLiteral,
            "pg_size_pretty" => Kind::SizePretty,
            "pg_typeof" => Kind::TypeOf,
            "current_setting" => Kind::CurrentSetting(Arc::clone(&view.settings)),
            "set_config" => Kind::SetConfig(Arc::clone(&view.settings), Arc::clone(&self.set_config)),
            crate::query::catalog_syntax::LIKE_ESCAPE => Kind::LikeEscape,
            crate::query::catalog_syntax::REGCLASS_NAME => Kind::RelationName(view.clone()),
            crate::query::catalog_syntax::REGTYPE_NAME => Kind::TypeName,
            crate::query::catalog_syntax::REGNAMESPACE_NAME => Kind::SchemaName(view.clone()),
            _ => return None,
        })
    }
}

/// When the server started, in microseconds since 1970.
fn start_time() -> i64 {
    static START: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *START.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.ok()
            .and_then(|since| i64::try_from(since.as_micros()).ok())
            .unwrap_or(0)
    })
}

/// What a function does.
#[derive(Debug)]
enum Kind {
    /// The same value for every row, whatever the arguments are.
    Constant(ScalarValue),
    /// The search path.
    Schemas(Vec<String>),
    /// (type oid, modifier) to SQL's name of the type.
    FormatType,
    /// The name of a type to its oid; NULL for no type.
    TypeNumber,
    /// oid to the name of a type.
    TypeName,
    /// oid to the name of a relation.
    RelationName(CatalogView),
    /// oid to the name of a schema.
    SchemaName(CatalogView),
    /// oid to the name of a user.
    UserName(CatalogView),
    /// (pattern, character): the pattern with a backslash where it has that character.
    LikeEscape,
    /// oid of a relation: whether it is found without its schema.
    IsVisible,
    QuoteIdent,
    QuoteLiteral,
    SizePretty,
    TypeOf,
    /// (name[, missing_ok]) to a setting's value.
    CurrentSetting(Arc<Settings>),
    /// (name, value, is_local): the value, which becomes the session's when the statement has ended.
    SetConfig(Arc<Settings>, PendingSettings),
}

impl Kind {
    fn volatility(&self) -> Volatility {
        match self {
            Self::SetConfig(..) => Volatility::Volatile,
            Self::FormatType
            | Self::LikeEscape
            | Self::QuoteIdent
            | Self::QuoteLiteral
            | Self::SizePretty => Volatility::Immutable,
            _ => Volatility::Stable,
        }
    }

    fn returns(&self) -> DataType {
        match self {
            Self::Constant(value) => value.data_type(),
            Self::Schemas(_) => DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true))),
            Self::TypeNumber => DataType::UInt32,
            Self::IsVisible => DataType::Boolean,
            _ => DataType::Utf8View,
        }
    }

    /// A tag for comparisons: two functions of one statement with the same name do the same.
    fn constant(&self) -> Option<&ScalarValue> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct CatalogFunction {
    name: String,
    signature: Signature,
    kind: Kind,
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.kind.constant() == other.kind.constant()
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.returns())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Kind::Constant(value) = &self.kind {
            return Ok(ColumnarValue::Scalar(value.clone()));
        }
        if let Kind::Schemas(path) = &self.kind {
            return schemas(path, &args.args);
        }
        if let Kind::TypeOf = &self.kind {
            let field = args.arg_fields.first();
            let row = field.and_then(|field| by_oid(PgType::of_field(field).oid));
            let name = row.map_or("unknown", sql_name);
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(
                name.to_owned(),
            ))));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        if let Kind::IsVisible = &self.kind {
            let oids = arrays
                .first()
                .map(|oids| cast(oids, &DataType::Int64))
                .transpose()?;
            let oids =
                oids.ok_or_else(|| exec_datafusion_err!("function {} needs an argument", self.name))?;
            let visible = oids.as_primitive::<Int64Type>().iter();
            let visible: BooleanArray = visible.map(|oid| Some(is_visible(number(oid?)))).collect();
            return Ok(ColumnarValue::Array(Arc::new(visible)));
        }
        if let Kind::TypeNumber = &self.kind {
            let names = arrays
                .first()
                .map(|names| cast(names, &DataType::Utf8View))
                .transpose()?;
            let names =
                names.ok_or_else(|| exec_datafusion_err!("function {} needs an argument", self.name))?;
            let numbers = names.as_string_view().iter().map(|name| {
                let name = name?.trim_start_matches("pg_catalog.").trim_matches('"');
                by_name(name).map(|row| row.oid)
            });
            return Ok(ColumnarValue::Array(Arc::new(numbers.collect::<UInt32Array>())));
        }
        let names = self.kind.of_rows(&self.name, &arrays, args.number_rows)?;
        Ok(ColumnarValue::Array(Arc::new(names)))
    }
}

impl Kind {
    fn of_rows(&self, function: &str, arrays: &[ArrayRef], rows: usize) -> Result<StringViewArray> {
        let argument = |index: usize, data_type: DataType| {
            let array = arrays
                .get(index)
                .ok_or_else(|| exec_datafusion_err!("function {function} needs more arguments"))?;
            Ok::<_, datafusion::error::DataFusionError>(cast(array, &data_type)?)
        };
        let mut names = StringViewBuilder::with_capacity(rows);
        match self {
            Self::FormatType => {
                let (oids, modifiers) = (argument(0, DataType::Int64)?, argument(1, DataType::Int32)?);
                let modifiers = modifiers.as_primitive::<datafusion::arrow::datatypes::Int32Type>();
                for (row, oid) in oids.as_primitive::<Int64Type>().iter().enumerate() {
                    let modifier = modifiers.is_valid(row).then(|| modifiers.value(row));
                    names.append_option(oid.map(|oid| format_type(number(oid), modifier)));
                }
            }
            Self::TypeName | Self::RelationName(_) | Self::SchemaName(_) | Self::UserName(_) => {
                let oids = argument(0, DataType::Int64)?;
                for oid in oids.as_primitive::<Int64Type>() {
                    names.append_option(oid.map(|oid| self.name_of(number(oid))));
                }
            }
            Self::QuoteIdent | Self::QuoteLiteral => {
                let texts = argument(0, DataType::Utf8View)?;
                for text in texts.as_string_view() {
                    names.append_option(text.map(|text| match self {
                        Self::QuoteIdent => quote_ident(text),
                        _ => format!("'{}'", text.replace('\'', "''")),
                    }));
                }
            }
            Self::SizePretty => {
                let sizes = argument(0, DataType::Int64)?;
                for size in sizes.as_primitive::<Int64Type>() {
                    names.append_option(size.map(size_pretty));
                }
            }
            Self::CurrentSetting(settings) => {
                let asked = argument(0, DataType::Utf8View)?;
                let missing_ok = match arrays.get(1) {
                    Some(_) => Some(argument(1, DataType::Boolean)?),
                    None => None,
                };
                for (row, name) in asked.as_string_view().iter().enumerate() {
                    let may_miss = missing_ok.as_ref().is_some_and(|flags| {
                        let flags = flags.as_boolean();
                        flags.is_valid(row) && flags.value(row)
                    });
                    names.append_option(match name {
                        None => None,
                        Some(name) if may_miss => settings.get(name).map(str::to_owned),
                        Some(name) => Some(settings.show(name).map_err(external)?.to_owned()),
                    });
                }
            }
            Self::SetConfig(settings, pending) => {
                let (asked, values) = (argument(0, DataType::Utf8View)?, argument(1, DataType::Utf8View)?);
                let local = argument(2, DataType::Boolean)?;
                let flags = local.as_boolean().iter();
                let rows = asked
                    .as_string_view()
                    .iter()
                    .zip(values.as_string_view())
                    .zip(flags);
                for ((name, value), local) in rows {
                    let (Some(name), Some(value)) = (name, value) else {
                        names.append_null();
                        continue;
                    };
                    let mut changed = Settings::clone(settings);
                    changed.set(name, value).map_err(external)?;
                    names.append_value(changed.get(name).unwrap_or(value));
                    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                    pending.push(SettingChange {
                        name: name.to_owned(),
                        value: value.to_owned(),
                        local: local == Some(true),
                    });
                }
            }
            Self::LikeEscape => {
                let (patterns, characters) =
                    (argument(0, DataType::Utf8View)?, argument(1, DataType::Utf8View)?);
                let rows = patterns.as_string_view().iter().zip(characters.as_string_view());
                for (pattern, character) in rows {
                    names.append_option(
                        pattern
                            .zip(character)
                            .map(|(pattern, character)| with_backslashes(pattern, character)),
                    );
                }
            }
            Self::Constant(_) | Self::Schemas(_) | Self::TypeOf | Self::TypeNumber | Self::IsVisible => {}
        }
        Ok(names.finish())
    }

    fn name_of(&self, oid: u32) -> String {
        let found = match self {
            Self::RelationName(view) => view.relation_name(oid),
            Self::SchemaName(view) => view.schema_name(oid).map(|name| quote_ident(&name)),
            Self::UserName(_) if oid == OWNER_OID => Some(OWNER.to_owned()),
            Self::UserName(view) => {
                let name = view.role_name(oid);
                return name.unwrap_or_else(|| format!("unknown (OID={oid})"));
            }
            _ => return format_type(oid, None),
        };
        found.unwrap_or_else(|| oid.to_string())
    }
}

/// The search path as `current_schemas` shows it: with the implicit schemas when they are asked for.
fn schemas(path: &[String], args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let implicit = matches!(
        args.first(),
        Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    );
    let system = implicit.then_some("pg_catalog");
    let names = system.into_iter().chain(path.iter().map(String::as_str));
    let names: Vec<ScalarValue> = names
        .map(|name| ScalarValue::Utf8View(Some(name.to_owned())))
        .collect();
    let list = ScalarValue::new_list_nullable(&names, &DataType::Utf8View);
    Ok(ColumnarValue::Scalar(ScalarValue::List(list)))
}

/// A pattern whose escape character is `character`, as one whose escape character is the backslash.
fn with_backslashes(pattern: &str, character: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        if !character.is_empty() && rest.starts_with(character) {
            text.push('\\');
            rest = &rest[character.len()..];
            if let Some(escaped) = rest.chars().next() {
                text.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
        } else {
            if next == '\\' {
                text.push('\\');
            }
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    text
}

fn number(oid: i64) -> u32 {
    u32::try_from(oid).unwrap_or(0)
}

fn external(error: QueryError) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}

/// A number of bytes as `pg_size_pretty` writes it.
fn size_pretty(bytes: i64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut size, mut unit) = (bytes, 0);
    while size.unsigned_abs() >= 10_240 && unit + 1 < units.len() {
        size = (size + size.signum() * 512) / 1024;
        unit += 1;
    }
    format!("{size} {}", units.get(unit).copied().unwrap_or("PB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_backslashes() {
        for (pattern, character, text) in [
            ("pg/_%", "/", "pg\\_%"),
            ("a\\b%", "#", "a\\\\b%"),
            ("a##b", "#", "a\\#b"),
            ("a\\%", "", "a\\\\%"),
            ("x#", "#", "x\\"),
        ] {
            assert_eq!(with_backslashes(pattern, character), text);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (5_000_000_000, "4768 MB"),
            (-20_480, "-20 kB"),
        ] {
            assert_eq!(size_pretty(bytes), text);
        }
    }
}
