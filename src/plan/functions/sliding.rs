//! Aggregates over windows that move.
//!
//! DataFusion (55) takes what leaves a window off variances and their kin, which cancels: after a large
//! value they were negative, or NaN. Other aggregates it refuses there.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::{AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::prelude::SessionContext;

/// Those whose states are a few numbers.
const OF_STATES: [&str; 16] = [
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "var",
    "var_pop",
];

/// Those that need the rows of the window.
const OF_ROWS: [&str; 10] = [
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "bit_and",
    "bit_or",
    "histogram",
    "median",
    "mode",
    "percentile_cont",
    "string_agg",
];

/// Lets the aggregates of a context slide.
pub(super) fn register(context: &mut SessionContext) {
    let kinds = OF_STATES.map(|name| (name, true)).into_iter();
    for (name, has_states) in kinds.chain(OF_ROWS.map(|name| (name, false))) {
        if let Ok(inner) = context.udaf(name) {
            let inner = inner.as_ref().clone();
            let slides = AggregateUDF::new_from_impl(Slides { inner, has_states });
            SessionContext::register_udaf(context, slides);
        }
    }
}

/// An aggregate that can also slide.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Slides {
    inner: AggregateUDF,
    has_states: bool,
}

impl AggregateUDFImpl for Slides {
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let of = Made::new(self.inner.clone(), &args);
        Ok(match self.has_states && !args.is_distinct {
            true => Box::new(OfStates { of, old: Vec::new(), new: Vec::new(), total: None }),
            false => Box::new(OfRows { of, rows: VecDeque::new() }),
        })
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.schema_name(params)
    }

    fn human_display(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.human_display(params)
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.inner.window_function_schema_name(params)
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.display_name(params)
    }

    fn window_function_display_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.inner.window_function_display_name(params)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(arg_fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial_ordering: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let changed = self.inner.clone().with_beneficial_ordering(beneficial_ordering)?;
        Ok(changed.map(|inner| -> Arc<dyn AggregateUDFImpl> {
            Arc::new(Slides { inner, has_states: self.has_states })
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Reversed(inner) => {
                let inner = Slides { inner: inner.as_ref().clone(), has_states: self.has_states };
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::new_from_impl(inner)))
            }
            other => other,
        }
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// An aggregate with what its accumulators are made of.
#[derive(Debug)]
struct Made {
    function: AggregateUDF,
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Made {
    fn new(function: AggregateUDF, args: &AccumulatorArgs) -> Self {
        Made {
            function,
            return_field: Arc::clone(&args.return_field),
            schema: args.schema.clone(),
            ignore_nulls: args.ignore_nulls,
            order_bys: args.order_bys.to_vec(),
            is_reversed: args.is_reversed,
            name: args.name.to_string(),
            is_distinct: args.is_distinct,
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
        }
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.function.accumulator(AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        })
    }
}

type State = Vec<ArrayRef>;

fn state_of(accumulator: &mut dyn Accumulator) -> Result<State> {
    accumulator.state()?.iter().map(ScalarValue::to_array).collect()
}

/// A window as two stacks: the states of its older rows, each with those behind it, and its newer rows.
/// Nothing is taken off a state.
#[derive(Debug)]
struct OfStates {
    of: Made,
    /// The oldest row is on top: the state of each with those below it.
    old: Vec<State>,
    /// What came since, a row each, and its state.
    new: Vec<Vec<ArrayRef>>,
    total: Option<Box<dyn Accumulator>>,
}

impl Accumulator for OfStates {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let total = match &mut self.total {
            Some(total) => total,
            empty => empty.insert(self.of.accumulator()?),
        };
        total.update_batch(values)?;
        let row_count = values.first().map_or(0, |values| values.len());
        let row = |row| values.iter().map(|values| values.slice(row, 1)).collect();
        self.new.extend((0..row_count).map(row));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in 0..values.first().map_or(0, |values| values.len()) {
            if self.old.is_empty() {
                let mut total = self.of.accumulator()?;
                for row in self.new.drain(..).rev() {
                    total.update_batch(&row)?;
                    let state = state_of(total.as_mut())?;
                    total = self.of.accumulator()?;
                    total.merge_batch(&state)?;
                    self.old.push(state);
                }
                self.total = None;
            }
            self.old.pop();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut all = self.of.accumulator()?;
        if let Some(old) = self.old.last() {
            all.merge_batch(old)?;
        }
        if let Some(total) = &mut self.total {
            let state = state_of(total.as_mut())?;
            let mut again = self.of.accumulator()?;
            again.merge_batch(&state)?;
            *total = again;
            all.merge_batch(&state)?;
        }
        all.evaluate()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a window has no partial states")
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a window has no partial states")
    }

    fn size(&self) -> usize {
        let rows = self.new.iter().chain(&self.old);
        size_of_val(self) + rows.flatten().map(|array| array.get_array_memory_size()).sum::<usize>()
    }
}

/// The rows of a window, which are looked at anew for each answer.
#[derive(Debug)]
struct OfRows {
    of: Made,
    rows: VecDeque<Vec<ArrayRef>>,
}

impl Accumulator for OfRows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if values.first().is_some_and(|values| !values.is_empty()) {
            self.rows.push_back(values.to_vec());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut left = values.first().map_or(0, |values| values.len());
        while left > 0
            && let Some(first) = self.rows.pop_front()
        {
            let len = first.first().map_or(0, |values| values.len());
            if len > left {
                let rest = first.iter().map(|values| values.slice(left, len - left));
                self.rows.push_front(rest.collect());
            }
            left = left.saturating_sub(len);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rows.len() > 1 {
            let column = |idx: usize| {
                let parts: Vec<&dyn Array> = self.rows.iter().map(|rows| &*rows[idx]).collect();
                concat(&parts)
            };
            let whole = (0..self.rows[0].len()).map(column).collect::<Result<_, _>>()?;
            self.rows = VecDeque::from([whole]);
        }
        let mut all = self.of.accumulator()?;
        if let Some(rows) = self.rows.front() {
            all.update_batch(rows)?;
        }
        all.evaluate()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a window has no partial states")
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a window has no partial states")
    }

    fn size(&self) -> usize {
        let arrays = self.rows.iter().flatten();
        size_of_val(self) + arrays.map(|array| array.get_array_memory_size()).sum::<usize>()
    }
}
