//! SUMMARIZE: one row about each column of a query, in one pass.

use datafusion::arrow::datatypes::{DataType, Schema};

use crate::sql_type::sql_type_name;
use crate::units::show_literal;

/// The query that tells about the columns of `query`, whose rows have this schema.
pub fn query(query: &str, schema: &Schema) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = field.data_type();
            let name = format!("\"{}\"", field.name().replace('"', "\"\""));
            let if_so = |is_so: bool, text: String| {
                if is_so { text } else { "CAST(NULL AS VARCHAR)".to_string() }
            };
            let text = |call: String| format!("CAST({call} AS VARCHAR)");
            let number = |call: String| text(format!("round({call}, 6)"));
            let is_number = data_type.is_numeric();
            let parts = [
                ("column_name", show_literal(field.name())),
                ("column_type", show_literal(&sql_type_name(data_type))),
                ("min", if_so(!data_type.is_nested(), text(format!("min({name})")))),
                ("max", if_so(!data_type.is_nested(), text(format!("max({name})")))),
                ("approx_unique", if_so(has_hash(data_type), text(format!("approx_distinct({name})")))),
                ("avg", if_so(is_number, number(format!("avg(CAST({name} AS DOUBLE))")))),
                ("std", if_so(is_number, number(format!("stddev(CAST({name} AS DOUBLE))")))),
                ("q25", if_so(is_number, quantile(&name, "0.25"))),
                ("q50", if_so(is_number, quantile(&name, "0.5"))),
                ("q75", if_so(is_number, quantile(&name, "0.75"))),
                ("count", "count(*)".to_string()),
                ("distribution", match data_type {
                    data_type if data_type.is_numeric() => {
                        format!("distribution(CAST({name} AS DOUBLE))")
                    }
                    DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
                        format!("distribution(CAST(date_part('epoch', {name}) AS DOUBLE))")
                    }
                    _ => "CAST(NULL AS VARCHAR)".to_string(),
                }),
                ("null_percentage", format!(
                    "round(100.0 * CAST(count(*) - count({name}) AS DOUBLE) / nullif(count(*), 0), 2)"
                )),
            ];
            let parts: Vec<String> =
                parts.into_iter().map(|(name, value)| format!("'{name}', {value}")).collect();
            format!("named_struct({})", parts.join(", "))
        })
        .collect();
    let fields = [
        "column_name",
        "column_type",
        "min",
        "max",
        "approx_unique",
        "avg",
        "std",
        "q25",
        "q50",
        "q75",
        "count",
        "null_percentage",
        "distribution",
    ];
    let fields: Vec<String> =
        fields.iter().map(|name| format!("of['{name}'] AS \"{name}\"")).collect();
    format!(
        "SELECT {} FROM (SELECT unnest(make_array({})) AS of FROM ({query}) AS summarized)",
        fields.join(", "),
        columns.join(", ")
    )
}

fn quantile(name: &str, share: &str) -> String {
    format!(
        "CAST(round(approx_percentile_cont({share}) WITHIN GROUP (ORDER BY CAST({name} AS DOUBLE)), 6) \
         AS VARCHAR)"
    )
}

/// Whether distinct values of a type can be counted by sketches.
fn has_hash(data_type: &DataType) -> bool {
    !data_type.is_nested()
        && !matches!(data_type, DataType::Boolean | DataType::Interval(_) | DataType::Null)
        && !data_type.is_decimal()
        && !data_type.is_floating()
}
