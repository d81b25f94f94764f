//! Plans as bytes: what DataFusion and Ballista have no words for.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err, not_impl_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr_with_converter;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr_with_converter;
use datafusion_proto::physical_plan::{
    AsExecutionPlan, PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalPlanNodeExt,
    PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::scan;
use crate::exec::group_top::GroupTopExec;
use crate::exec::padded::PaddedExec;
use crate::plan::functions;

/// What the bytes of a node begin with.
const SCAN: u8 = b's';
const GROUP_TOP: u8 = b'g';
const PADDED: u8 = b'p';
const BALLISTA: u8 = b'b';

/// Our operators and functions, and Ballista's.
#[derive(Debug, Default)]
pub(super) struct Codec {
    ballista: BallistaPhysicalExtensionCodec,
}

/// A [`GroupTopExec`] without its input.
#[derive(Debug, Serialize, Deserialize)]
struct SentTop {
    keys: Vec<Vec<u8>>,
    order: Vec<u8>,
    descending: bool,
    nulls_first: bool,
    count: usize,
    is_final: bool,
}

impl PhysicalExtensionCodec for Codec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(scan) = scan::encode(&node, self, converter)? {
            bytes.push(SCAN);
            bytes.extend(scan);
            return Ok(());
        }
        if let Some(top) = node.downcast_ref::<GroupTopExec>() {
            let expr = |expr: &Arc<dyn PhysicalExpr>| -> Result<Vec<u8>> {
                Ok(converter.physical_expr_to_proto(expr, self)?.encode_to_vec())
            };
            let sent = SentTop {
                keys: top.keys().iter().map(expr).collect::<Result<_>>()?,
                order: expr(&top.order().expr)?,
                descending: top.order().options.descending,
                nulls_first: top.order().options.nulls_first,
                count: top.count(),
                is_final: top.is_final(),
            };
            bytes.push(GROUP_TOP);
            return match postcard::to_stdvec(&sent) {
                Ok(sent) => {
                    bytes.extend(sent);
                    Ok(())
                }
                Err(error) => internal_err!("an operator cannot be described: {error}"),
            };
        }
        if node.is::<PaddedExec>() {
            bytes.push(PADDED);
            return Ok(());
        }
        bytes.push(BALLISTA);
        self.ballista.try_encode(node, bytes, converter)
    }

    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes.split_first(), inputs) {
            (Some((&SCAN, rest)), _) => scan::decode(rest, context, self, converter),
            (Some((&GROUP_TOP, rest)), [input]) => {
                let Ok(sent) = postcard::from_bytes::<SentTop>(rest) else {
                    return internal_err!("an operator whose description makes no sense");
                };
                let decoding = PhysicalPlanDecodeContext::new(context, self);
                let schema = input.schema();
                let expr = |bytes: &Vec<u8>| match PhysicalExprNode::decode(bytes.as_slice()) {
                    Ok(node) => converter.proto_to_physical_expr(&node, &schema, &decoding),
                    Err(error) => internal_err!("an expression that makes no sense: {error}"),
                };
                let keys = sent.keys.iter().map(expr).collect::<Result<_>>()?;
                let options =
                    SortOptions { descending: sent.descending, nulls_first: sent.nulls_first };
                let order = PhysicalSortExpr::new(expr(&sent.order)?, options);
                let input = Arc::clone(input);
                Ok(Arc::new(GroupTopExec::new(input, keys, order, sent.count, sent.is_final)))
            }
            (Some((&PADDED, _)), [input]) => Ok(Arc::new(PaddedExec::new(Arc::clone(input)))),
            (Some((&BALLISTA, rest)), _) => {
                self.ballista.try_decode(rest, inputs, context, converter)
            }
            _ => internal_err!("an operator that nobody here knows"),
        }
    }

    fn try_decode_udf(&self, name: &str, _bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        match functions::of_rules(name) {
            Some(function) => Ok(Arc::new(function)),
            None => not_impl_err!("there is no function {name} on the cluster"),
        }
    }
}

/// The bytes of a plan, with the values of its scalar subqueries in their places.
///
/// # Errors
/// When something of it cannot be sent.
pub(super) fn encoded(plan: &Arc<dyn ExecutionPlan>, codec: &Codec) -> Result<Vec<u8>> {
    let node = Sending.execution_plan_to_proto(plan, codec)?;
    let mut bytes = Vec::new();
    node.try_encode(&mut bytes)?;
    Ok(bytes)
}

/// Puts the values of scalar subqueries, which have run before, into what is sent.
struct Sending;

impl PhysicalProtoConverterExtension for Sending {
    fn proto_to_execution_plan(
        &self,
        node: &PhysicalPlanNode,
        decoding: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        node.try_into_physical_plan_with_context(decoding, self)
    }

    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        let mut plan = plan;
        while let Some(subqueries) = plan.downcast_ref::<ScalarSubqueryExec>() {
            plan = subqueries.input();
        }
        PhysicalPlanNode::try_from_physical_plan_with_converter(Arc::clone(plan), codec, self)
    }

    fn proto_to_physical_expr(
        &self,
        node: &PhysicalExprNode,
        schema: &Schema,
        decoding: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        parse_physical_expr_with_converter(node, schema, decoding, self)
    }

    fn physical_expr_to_proto(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        let valued = Arc::clone(expr).transform(|expr| {
            if !expr.is::<ScalarSubqueryExpr>() {
                return Ok(Transformed::no(expr));
            }
            match expr.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty())))? {
                ColumnarValue::Scalar(value) => {
                    Ok(Transformed::yes(Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>))
                }
                ColumnarValue::Array(_) => internal_err!("a scalar subquery with many values"),
            }
        });
        serialize_physical_expr_with_converter(&valued.data()?, codec, self)
    }
}
