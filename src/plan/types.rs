//! Types under the names of other tools.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::DataType as SqlType;

/// The zone of times with one, where the session names no other.
pub const UTC: &str = "+00:00";

/// Plans types that DataFusion knows under one name only.
#[derive(Debug)]
pub struct TypeNames;

impl TypePlanner for TypeNames {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        Ok(of(sql_type).map(|data_type| Arc::new(Field::new("", data_type, true))))
    }
}

fn of(sql_type: &SqlType) -> Option<DataType> {
    Some(match sql_type {
        SqlType::HugeInt | SqlType::UHugeInt | SqlType::Int128 => {
            DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0)
        }
        SqlType::UTinyInt | SqlType::UInt8 => DataType::UInt8,
        SqlType::USmallInt | SqlType::UInt16 => DataType::UInt16,
        SqlType::UInt32 => DataType::UInt32,
        SqlType::UBigInt | SqlType::UInt64 => DataType::UInt64,
        SqlType::Int16 => DataType::Int16,
        SqlType::MediumInt(_) | SqlType::Int32 => DataType::Int32,
        SqlType::Int64 => DataType::Int64,
        SqlType::Float32 => DataType::Float32,
        SqlType::Float64 | SqlType::Double(_) => DataType::Float64,
        SqlType::Blob(_) | SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Bytes(_) => {
            DataType::Binary
        }
        SqlType::JSON
        | SqlType::JSONB
        | SqlType::Uuid
        | SqlType::Varchar(_)
        | SqlType::Nvarchar(_)
        | SqlType::Character(_)
        | SqlType::CharacterVarying(_)
        | SqlType::CharVarying(_)
        | SqlType::Clob(_)
        | SqlType::TinyText
        | SqlType::MediumText
        | SqlType::LongText => DataType::Utf8View,
        SqlType::Datetime(_) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        SqlType::Custom(name, arguments) if arguments.is_empty() => {
            custom(&name.to_string().to_lowercase())?
        }
        _ => return None,
    })
}

fn custom(name: &str) -> Option<DataType> {
    Some(match name {
        "byte" | "int1" => DataType::Int8,
        "short" => DataType::Int16,
        "long" => DataType::Int64,
        "uinteger" | "uint" => DataType::UInt32,
        "timestamp_s" => DataType::Timestamp(TimeUnit::Second, None),
        "timestamp_ms" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "timestamp_us" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp_ns" | "timestamp_ntz" => DataType::Timestamp(TimeUnit::Nanosecond, None),
        "logical" => DataType::Boolean,
        _ => return None,
    })
}
