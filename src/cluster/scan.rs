//! Scans on their way to where they run.
//!
//! A scan is sent as a description: who plans stages in between needs no file. On the executor it is
//! opened when its task begins, and every file must then be the one that the client saw.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::source::ParquetSource;
use datafusion::datasource::physical_plan::{
    FileGroup, FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use datafusion_datasource::projection::SplitProjection;
use datafusion_proto::physical_plan::from_proto::parse_protobuf_file_scan_config;
use datafusion_proto::physical_plan::to_proto::serialize_file_scan_config;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use object_store::ObjectStore;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::executor::Host;
use crate::dataset::table::CaselessAdapterFactory;
use crate::error::{Error, Place};
use crate::formats::compression::Compression;
use crate::formats::csv::Piece;
use crate::formats::csv::decode::ColumnSpec;
use crate::formats::csv::dialect::CsvOptions;
use crate::formats::csv::reject::OnError;
use crate::formats::csv::split::{Cuts, Splits};
use crate::formats::csv::value::{DateOrder, Notation};
use crate::formats::file::SourceFile;
use crate::formats::parquet::{InFlight, Readers};
use crate::formats::source::{FilePlan, RowSource, SkippedRanges, reprojected, visit_exprs};
use crate::formats::{FileLayout, Format, Found, Wanted, arrow_ipc, json, parquet};
use crate::notes::Notes;
use crate::objects::is_same_state;

/// Layouts of files that are kept in mind; looking at them again is what it costs to forget.
const LAYOUTS_MAX: usize = 10_000;

/// A file as the client saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The name that the user knows it by.
    pub(super) name: String,
    /// Its absolute path, or its URL.
    pub(super) address: String,
    /// Its length in bytes.
    pub(super) len: u64,
    /// Its time of modification, in nanoseconds since 1970.
    pub(super) modified_ns: i128,
    /// Whether it is an object in a store.
    pub(super) is_object: bool,
    /// What the store calls its state, if it says.
    pub(super) tag: Option<String>,
}

impl Seen {
    /// A file that others may see as well; None for what can be read only here.
    fn of(file: &SourceFile) -> Option<Self> {
        Some(Seen {
            name: file.name.clone(),
            address: file.address()?,
            len: file.identity.len,
            modified_ns: file.identity.modified_ns,
            is_object: file.as_object().is_some(),
            tag: file.as_object().and_then(|object| object.tag()).map(str::to_string),
        })
    }

    /// The same file here.
    ///
    /// # Errors
    /// When it is missing, or is another one.
    pub(super) fn found(&self, host: &Host) -> crate::Result<SourceFile> {
        let file = match self.is_object {
            true => self.found_object(host)?,
            false => self.found_local(host)?,
        };
        // Files of a disk have no tags.
        let tag = file.as_object().and_then(|object| object.tag());
        let then = (self.tag.as_deref(), self.modified_ns);
        let is_same = is_same_state(then, (tag, file.identity.modified_ns));
        let other = if file.identity.len != self.len {
            format!("{} bytes there, {} bytes here", file.identity.len, self.len)
        } else if !is_same {
            "it was modified at another time".to_string()
        } else {
            return Ok(file);
        };
        let message = format!("executor {} sees another file {}: {other}", host.name, self.address);
        let error = Error::data(message).at(Place::file(&self.name)).passing();
        Err(error.hint(match self.is_object {
            true => "run the statement again once the object is complete",
            false => "copies must be equal, also in their time of modification (cp -p, rsync -t)",
        }))
    }

    fn found_local(&self, host: &Host) -> crate::Result<SourceFile> {
        let metadata = std::fs::metadata(&self.address).map_err(|error| {
            Error::data(format!("executor {} cannot see {}: {error}", host.name, self.address))
                .at(Place::file(&self.name))
                .hint("executors read the same paths as the client: share the folder with them")
        })?;
        let path = self.address.clone().into();
        Ok(SourceFile::within(host.places.roots.clone(), self.name.clone(), path, &metadata))
    }

    fn found_object(&self, host: &Host) -> crate::Result<SourceFile> {
        host.places.roots.check_url(&self.address)?;
        let cannot_see = |why: &str| {
            Error::data(format!("executor {} cannot see {}: {why}", host.name, self.address))
                .at(Place::file(&self.name))
        };
        match host.places.objects.find(&self.address) {
            Ok(Some(object)) => Ok(SourceFile::object(object)),
            Ok(None) => Err(cannot_see("there is no such object")),
            Err(error) => Err(cannot_see(error.message())
                .hint("executors have credentials of their own: set their environment as here")),
        }
    }
}

/// A file with what is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SentFile {
    seen: Seen,
    format: Format,
    compression: Compression,
    /// Where the bytes tell too little, or it took long to find out.
    layout: Option<FileLayout>,
    dataset_file_count: usize,
}

/// What a task reads; rides on DataFusion's `PartitionedFile`.
#[derive(Debug, Clone)]
struct Sent {
    file: Arc<SentFile>,
    piece: Option<(Arc<Cuts>, usize)>,
}

/// How a scan reads its files.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Reading {
    Rows {
        dataset: u64,
        on_error: OnError,
        /// None is the number of the row.
        columns: Vec<Option<SentColumn>>,
    },
    Parquet,
}

/// A column as text is read into it; its name and type are the field's.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SentColumn {
    order: DateOrder,
    guessed: bool,
    null_words: Option<Vec<String>>,
    decimal: u8,
    thousands: Option<u8>,
    date_format: Option<String>,
    timestamp_format: Option<String>,
}

impl SentColumn {
    fn of(spec: &ColumnSpec) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_string);
        SentColumn {
            order: spec.order,
            guessed: spec.guessed,
            null_words: spec.null_words.as_ref().map(|words| words.to_vec()),
            decimal: spec.notation.decimal,
            thousands: spec.notation.thousands,
            date_format: text(&spec.notation.date_format),
            timestamp_format: text(&spec.notation.timestamp_format),
        }
    }

    fn spec(&self, field: &datafusion::arrow::datatypes::Field) -> ColumnSpec {
        let text = |text: &Option<String>| text.as_deref().map(Arc::from);
        ColumnSpec {
            order: self.order,
            guessed: self.guessed,
            null_words: self.null_words.clone().map(Into::into),
            notation: Notation {
                decimal: self.decimal,
                thousands: self.thousands,
                date_format: text(&self.date_format),
                timestamp_format: text(&self.timestamp_format),
            },
            ..ColumnSpec::new(field.name(), field.data_type().clone())
        }
    }
}

/// The description of a scan, in the place of its source.
#[derive(Debug, Clone)]
pub(super) struct SentSource {
    reading: Arc<Reading>,
    label: String,
    table_schema: TableSchema,
    projection: SplitProjection,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    metrics: ExecutionPlanMetricsSet,
}

/// Why a scan cannot be sent.
pub(super) type Unsent = String;

/// The same groups of files, with something else that goes with each file.
fn regrouped<T: Send + Sync + 'static, E>(
    groups: &[FileGroup],
    mut with: impl FnMut(&PartitionedFile) -> std::result::Result<T, E>,
) -> std::result::Result<Vec<FileGroup>, E> {
    let mut file = |file: &PartitionedFile| {
        let with = with(file)?;
        let mut file = PartitionedFile { extensions: Default::default(), ..file.clone() };
        file.extensions.insert(with);
        Ok(file)
    };
    let group = |group: &FileGroup| {
        let files = group.files().iter().map(&mut file).collect::<std::result::Result<_, E>>();
        files.map(FileGroup::new)
    };
    groups.iter().map(group).collect()
}

/// A scan of ours as a description.
pub(super) fn sent(scan: &DataSourceExec) -> std::result::Result<Arc<dyn ExecutionPlan>, Unsent> {
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else {
        return Err("what it reads is in this process only".into());
    };
    let source = config.file_source();
    let (reading, label) = if let Some(rows) = source.downcast_ref::<RowSource>() {
        if rows.max_rejects().is_some() {
            return Err("max_rejects counts in one process".into());
        }
        let columns = rows.wanted().iter().map(|wanted| match wanted {
            Wanted::Column(spec) => Some(SentColumn::of(spec)),
            Wanted::RowNumber => None,
        });
        let (dataset, on_error) = (rows.dataset(), rows.on_error());
        (Reading::Rows { dataset, on_error, columns: columns.collect() }, rows.file_type())
    } else if source.is::<ParquetSource>() {
        (Reading::Parquet, source.file_type())
    } else {
        return Err(format!("it reads {}", source.file_type()));
    };
    let mut files: HashMap<*const SourceFile, Arc<SentFile>> = HashMap::new();
    let mut cuts: HashMap<*const Splits, Arc<Cuts>> = HashMap::new();
    let groups = regrouped(&config.file_groups, |file| {
        let plan = file.extension::<FilePlan>().ok_or("a file has no plan")?;
        let known = files.get(&Arc::as_ptr(&plan.file)).cloned();
        let sent = known.or_else(|| sent_file(plan).map(Arc::new));
        let sent = sent.ok_or_else(|| format!("{} can be read only here", plan.file.name))?;
        files.insert(Arc::as_ptr(&plan.file), Arc::clone(&sent));
        let piece = plan.piece.as_ref().map(|piece| {
            let cuts = cuts
                .entry(Arc::as_ptr(&piece.splits))
                .or_insert_with(|| Arc::new(piece.splits.cuts().clone()));
            (Arc::clone(cuts), piece.idx)
        });
        Ok::<_, Unsent>(Sent { file: sent, piece })
    })?;
    let schema = source.table_schema().clone();
    let projection = match source.projection() {
        Some(projection) => SplitProjection::new(schema.file_schema(), projection),
        None => SplitProjection::unprojected(&schema),
    };
    let source = SentSource {
        reading: Arc::new(reading),
        label: label.to_string(),
        table_schema: schema,
        projection,
        predicate: source.filter(),
        metrics: ExecutionPlanMetricsSet::new(),
    };
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(Arc::new(source))
        .with_file_groups(groups)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn sent_file(plan: &FilePlan) -> Option<SentFile> {
    let layout = plan.layout.as_ref();
    // What a file says of its types itself is read again where it is opened.
    let says_all = layout.columns.iter().all(|column| matches!(column.found, Found::Sniffed(_)))
        && !matches!(layout.format, Format::Parquet | Format::Arrow);
    Some(SentFile {
        seen: Seen::of(&plan.file)?,
        format: layout.format,
        compression: layout.compression,
        layout: says_all.then(|| layout.clone()),
        dataset_file_count: plan.dataset_file_count,
    })
}

/// All files that a plan with described scans reads, each once.
pub(super) fn files_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Seen> {
    let mut files: HashMap<String, Seen> = HashMap::new();
    let _ = plan.apply(|node| {
        if let Some((config, _)) = described(node) {
            let all = config.file_groups.iter().flat_map(FileGroup::files);
            for sent in all.filter_map(|file| file.extension::<Sent>()) {
                files
                    .entry(sent.file.seen.address.clone())
                    .or_insert_with(|| sent.file.seen.clone());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let mut files: Vec<Seen> = files.into_values().collect();
    files.sort_by(|a, b| a.address.cmp(&b.address));
    files
}

/// The scan that a node is, if it is a described one.
fn described(node: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, &SentSource)> {
    let config =
        node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    Some((config, config.file_source().downcast_ref::<SentSource>()?))
}

/// A scan as bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Wire {
    reading: Reading,
    label: String,
    /// DataFusion's description of the scan.
    config: Vec<u8>,
    /// Schema of the files, constant columns of each, and columns that readers make up.
    schemas: [Vec<u8>; 3],
    predicate: Option<Vec<u8>>,
    files: Vec<SentFile>,
    cuts: Vec<Cuts>,
    groups: Vec<Vec<Entry>>,
}

/// What a task reads, by numbers: the file, and cuts and piece of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Entry {
    file: usize,
    piece: Option<(usize, usize)>,
}

/// The bytes of a node, if it is a described scan.
pub(super) fn encode(
    node: &Arc<dyn ExecutionPlan>,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Option<Vec<u8>>> {
    let Some((config, source)) = described(node) else { return Ok(None) };
    let (mut files, mut cuts) = (Vec::new(), Vec::new());
    let (mut file_idx, mut cuts_idx) = (HashMap::new(), HashMap::new());
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let mut entries = Vec::with_capacity(group.len());
        for sent in group.files().iter().filter_map(|file| file.extension::<Sent>()) {
            let file = *file_idx.entry(Arc::as_ptr(&sent.file)).or_insert_with(|| {
                files.push(sent.file.as_ref().clone());
                files.len() - 1
            });
            let piece = sent.piece.as_ref().map(|(of, idx)| {
                let cut = *cuts_idx.entry(Arc::as_ptr(of)).or_insert_with(|| {
                    cuts.push(of.as_ref().clone());
                    cuts.len() - 1
                });
                (cut, *idx)
            });
            entries.push(Entry { file, piece });
        }
        groups.push(entries);
    }
    let schema = |fields: datafusion::arrow::datatypes::Fields| -> Result<Vec<u8>> {
        let schema = datafusion::arrow::datatypes::Schema::new(fields);
        let schema: datafusion_proto::protobuf::Schema = (&schema).try_into()?;
        Ok(schema.encode_to_vec())
    };
    let table = &source.table_schema;
    let predicate = source.predicate.as_ref();
    let wire = Wire {
        reading: source.reading.as_ref().clone(),
        label: source.label.clone(),
        config: serialize_file_scan_config(config, codec, converter)?.encode_to_vec(),
        schemas: [
            schema(table.file_schema().fields().clone())?,
            schema(table.table_partition_cols().clone())?,
            schema(table.virtual_columns().clone())?,
        ],
        predicate: predicate
            .map(|predicate| converter.physical_expr_to_proto(predicate, codec))
            .transpose()?
            .map(|predicate| predicate.encode_to_vec()),
        files,
        cuts,
        groups,
    };
    match postcard::to_stdvec(&wire) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => internal_err!("a scan cannot be described: {error}"),
    }
}

/// The described scan of these bytes.
pub(super) fn decode(
    bytes: &[u8],
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Ok(wire) = postcard::from_bytes::<Wire>(bytes) else {
        return internal_err!("a scan whose description makes no sense");
    };
    let schema = |bytes: &[u8]| -> Result<datafusion::arrow::datatypes::Schema> {
        match datafusion_proto::protobuf::Schema::decode(bytes) {
            Ok(schema) => Ok((&schema).try_into()?),
            Err(error) => internal_err!("a schema that makes no sense: {error}"),
        }
    };
    let [own, constant, made_up] = &wire.schemas;
    let fields = |bytes: &[u8]| -> Result<Vec<_>> { Ok(schema(bytes)?.fields().to_vec()) };
    let table_schema = TableSchema::builder(Arc::new(schema(own)?))
        .with_table_partition_cols(fields(constant)?)
        .with_virtual_columns(fields(made_up)?)
        .build();
    let decoding = PhysicalPlanDecodeContext::new(context, codec);
    let expr = |bytes: &[u8]| match protobuf::PhysicalExprNode::decode(bytes) {
        Ok(node) => converter.proto_to_physical_expr(&node, table_schema.table_schema(), &decoding),
        Err(error) => internal_err!("an expression that makes no sense: {error}"),
    };
    let source = SentSource {
        reading: Arc::new(wire.reading),
        label: wire.label,
        projection: SplitProjection::unprojected(&table_schema),
        predicate: wire.predicate.as_deref().map(expr).transpose()?,
        table_schema,
        metrics: ExecutionPlanMetricsSet::new(),
    };
    let Ok(config) = protobuf::FileScanExecConf::decode(wire.config.as_slice()) else {
        return internal_err!("a scan that makes no sense");
    };
    let config = parse_protobuf_file_scan_config(&config, &decoding, converter, Arc::new(source))?;
    let files: Vec<Arc<SentFile>> = wire.files.into_iter().map(Arc::new).collect();
    let cuts: Vec<Arc<Cuts>> = wire.cuts.into_iter().map(Arc::new).collect();
    let mut entries = wire.groups.iter().flatten();
    let groups = regrouped(&config.file_groups, |_| {
        let Some(entry) = entries.next() else { return internal_err!("a file without entry") };
        let Some(sent) = files.get(entry.file) else { return internal_err!("no such file") };
        let piece = match &entry.piece {
            Some((of, idx)) => match cuts.get(*of) {
                Some(cuts) => Some((Arc::clone(cuts), *idx)),
                None => return internal_err!("no such cuts"),
            },
            None => None,
        };
        Ok(Sent { file: Arc::clone(sent), piece })
    })?;
    let config = FileScanConfigBuilder::from(config).with_file_groups(groups).build();
    Ok(DataSourceExec::from_data_source(config))
}

/// A plan whose described scans are open, on the machine that runs them.
///
/// # Errors
/// When a file is not the one that the client saw.
pub(super) fn opened(
    plan: Arc<dyn ExecutionPlan>,
    host: &Host,
    notes: &Notes,
    in_flight: &InFlight,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        Ok(match described(&node) {
            Some((config, source)) => {
                Transformed::yes(opened_scan(config, source, host, notes, in_flight)?)
            }
            None => Transformed::no(node),
        })
    })
    .data()
}

fn opened_scan(
    config: &FileScanConfig,
    sent: &SentSource,
    host: &Host,
    notes: &Notes,
    in_flight: &InFlight,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = &sent.table_schema;
    let source: Arc<dyn FileSource> = match sent.reading.as_ref() {
        Reading::Parquet => {
            let readers = Readers { notes: notes.clone(), in_flight: in_flight.clone() };
            let source = ParquetSource::new(schema.clone())
                .with_parquet_file_reader_factory(Arc::new(readers));
            Arc::new(match &sent.predicate {
                Some(predicate) => source.with_predicate(Arc::clone(predicate)),
                None => source,
            })
        }
        Reading::Rows { dataset, on_error, columns } => {
            let fields = schema.file_schema().fields();
            let wanted = columns.iter().zip(fields).map(|(column, field)| match column {
                Some(column) => Wanted::Column(column.spec(field)),
                None => Wanted::RowNumber,
            });
            let options = CsvOptions { on_error: *on_error, ..CsvOptions::default() };
            let label = ["csv", "json", "arrow"].into_iter().find(|label| *label == sent.label);
            let (wanted, label) = (wanted.collect(), label.unwrap_or("rows"));
            let notes = notes.clone();
            let source = RowSource::new(*dataset, schema.clone(), wanted, label, &options, notes);
            Arc::new(source.with_predicate(sent.predicate.clone()))
        }
    };
    let source = match config.file_source().projection() {
        Some(projection) => source.try_pushdown_projection(projection)?.unwrap_or(source),
        None => source,
    };
    let mut files: HashMap<*const SentFile, FilePlan> = HashMap::new();
    let mut splits: HashMap<*const Cuts, Arc<Splits>> = HashMap::new();
    let groups = regrouped(&config.file_groups, |file| {
        let Some(sent) = file.extension::<Sent>() else {
            return internal_err!("a file without its plan");
        };
        let mut plan = match files.get(&Arc::as_ptr(&sent.file)) {
            Some(plan) => plan.clone(),
            None => {
                let plan = host.open(&sent.file)?;
                files.insert(Arc::as_ptr(&sent.file), plan.clone());
                plan
            }
        };
        if let (Some((cuts, idx)), Some(csv)) = (&sent.piece, &plan.layout.csv) {
            let splits = splits.entry(Arc::as_ptr(cuts)).or_insert_with(|| {
                let (file, dialect) = (Arc::clone(&plan.file), csv.dialect.clone());
                Arc::new(Splits::of(file, dialect, cuts.as_ref().clone()))
            });
            plan.piece = Some(Piece { splits: Arc::clone(splits), idx: *idx });
        }
        Ok(plan)
    })?;
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(source)
        .with_file_groups(groups)
        .with_expr_adapter(Some(Arc::new(CaselessAdapterFactory)))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Layouts of files of which they were found out here, by the state of the file.
#[derive(Debug, Default)]
pub(super) struct Layouts(Mutex<HashMap<String, Arc<FileLayout>>>);

impl Layouts {
    fn of(&self, file: &Arc<SourceFile>, sent: &SentFile) -> crate::Result<Arc<FileLayout>> {
        if let Some(layout) = &sent.layout {
            return Ok(Arc::new(layout.clone()));
        }
        let key = file.state_key().unwrap_or_default();
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = known().get(&key) {
            return Ok(Arc::clone(layout));
        }
        let layout = Arc::new(match sent.format {
            Format::Parquet => parquet::inspect(file, sent.compression)?,
            Format::Arrow => arrow_ipc::inspect(file, sent.compression)?,
            Format::Json => json::inspect(file, sent.compression)?,
            Format::Csv => {
                return Err(Error::new(crate::ErrorKind::Internal, "a CSV file without layout"));
            }
        });
        let mut known = known();
        if known.len() >= LAYOUTS_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&layout));
        Ok(layout)
    }
}

impl Host {
    fn open(&self, sent: &SentFile) -> crate::Result<FilePlan> {
        let file = Arc::new(sent.seen.found(self)?);
        Ok(FilePlan {
            layout: self.layouts.of(&file, sent)?,
            file,
            piece: None,
            learner: None,
            skipped_ranges: SkippedRanges::default(),
            statistics: None,
            dataset_file_count: sent.dataset_file_count,
        })
    }
}

impl FileSource for SentSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        internal_err!("a scan runs that was only described")
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, _batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(self.clone())
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let projection = reprojected(&self.table_schema, &self.projection, projection)?;
        Ok(Some(Arc::new(SentSource { projection, ..self.clone() })))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.predicate.clone()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        &self.label
    }

    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn fmt_extra(&self, _t: DisplayFormatType, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        visit_exprs(self.predicate.as_ref(), &self.projection, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::location::Places;

    #[test]
    fn an_executor_says_which_file_it_misses_and_which_is_another() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "x\n1\n").expect("written");
        let metadata = std::fs::metadata(&path).expect("metadata");
        let seen = Seen::of(&SourceFile::local("a.csv", path.clone(), &metadata)).expect("a file");
        let host = Host::new("7".into(), Places::default());
        assert!(seen.found(&host).is_ok());
        let other = Seen { modified_ns: seen.modified_ns + 1, ..seen.clone() };
        let error = other.found(&host).expect_err("another time").to_string();
        assert!(error.contains("executor 7 sees another file"), "{error}");
        std::fs::write(&path, "x\n1\n2\n").expect("written");
        let error = seen.found(&host).expect_err("another length").to_string();
        assert!(error.contains("6 bytes there, 4 bytes here"), "{error}");
        std::fs::remove_file(&path).expect("removed");
        let error = seen.found(&host).expect_err("gone").to_string();
        assert!(error.contains("executor 7 cannot see") && error.contains("a.csv"), "{error}");
    }
}
