//! INSERT INTO 'folder': a new file beside those that are there, with their columns.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    Insert, Query, SelectItem, SetExpr, Statement as SqlStatement, TableObject,
};

use super::copy::Target;
use super::running::Run;
use super::session::Session;
use crate::dataset::location;
use crate::dataset::table::DatasetTable;
use crate::error::{Error, ErrorKind, Result};

/// An INSERT into files.
pub(super) struct Insertion {
    pub(super) target: Target,
    /// The columns that are named, if they are.
    pub(super) into: Vec<String>,
    pub(super) query: DfStatement,
}

impl Session {
    /// What an INSERT into a location, or into an external table over one, is to do; None for all
    /// other statements.
    pub(super) async fn insertion(
        &self,
        parsed: &DfStatement,
        run: &Run,
    ) -> Result<Option<Insertion>> {
        let DfStatement::Statement(statement) = parsed else { return Ok(None) };
        let SqlStatement::Insert(insert) = statement.as_ref() else { return Ok(None) };
        let TableObject::TableName(name) = &insert.table else { return Ok(None) };
        let is_location = name.to_string().starts_with('\'');
        let view = self.view(&name.to_string().to_lowercase());
        if !is_location && view.is_none() {
            return Ok(None);
        }
        if view.is_some_and(|view| !is_whole(&view)) {
            return Err(Error::sql(format!("{name} is a view: rows cannot be added to it"))
                .hint("add them to the folder that it reads: INSERT INTO 'folder' SELECT ..."));
        }
        let query = source_of(insert)?;
        let mut whole = crate::plan::parse::parse(&format!("SELECT * FROM {name}"))?.remove(0);
        let sources = self.bind(&mut whole.statement)?;
        let [source] = &sources[..] else { return Err(internal()) };
        let opened = self.open_one(&HashSet::new(), source, &HashMap::new(), run).await?;
        let table = opened.provider.as_ref() as &dyn std::any::Any;
        let table = table.downcast_ref::<DatasetTable>().ok_or_else(internal)?;
        let [location] = &source.locations[..] else {
            return Err(
                Error::sql("rows cannot be added to a list of locations").hint("name one folder")
            );
        };
        let path = PathBuf::from(location::resolve(location, self.places())?);
        self.places().roots.check(&path)?;
        let target = Target::into_dataset(path, table.dataset())?;
        let into = insert.columns.iter().map(|name| name.to_string().replace('"', "")).collect();
        Ok(Some(Insertion { target, into, query }))
    }
}

fn internal() -> Error {
    Error::new(ErrorKind::Internal, "an INSERT without a dataset")
}

/// The rows that are to be added.
fn source_of(insert: &Insert) -> Result<DfStatement> {
    let is_plain = insert.on.is_none()
        && insert.or.is_none()
        && !insert.replace_into
        && !insert.ignore
        && insert.returning.is_none()
        && insert.partitioned.is_none()
        && insert.table_alias.is_none()
        && insert.assignments.is_empty();
    match &insert.source {
        Some(query) if is_plain => {
            Ok(DfStatement::Statement(Box::new(SqlStatement::Query(query.clone()))))
        }
        _ => Err(Error::sql("this form of INSERT does not work with files")
            .hint("write INSERT INTO 'folder' [(columns)] SELECT ..., or COPY with its options")),
    }
}

/// Whether a view is a location and nothing else.
fn is_whole(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    matches!(&select.projection[..], [SelectItem::Wildcard(_)])
        && matches!(&select.from[..], [table] if table.joins.is_empty())
        && select.selection.is_none()
        && select.distinct.is_none()
        && query.with.is_none()
        && query.limit_clause.is_none()
}
