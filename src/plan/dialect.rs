//! The dialect: what the parser takes. DataFusion's generic one, and what users of other tools write.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

/// The generic dialect with numbers such as `1_000_000`, `ORDER BY ALL`, lambdas and commas behind the
/// last item.
#[derive(Debug)]
pub struct SwathDialect;

/// The operator of JSON, where it is not the arrow of a function.
pub(super) const ARROW: &str = "->";

/// `ISNULL` or `NOTNULL` behind a value.
fn is_null_test(word: &Word) -> bool {
    let is_test = word.keyword == Keyword::NOTNULL || word.value.eq_ignore_ascii_case("isnull");
    is_test && word.quote_style.is_none()
}

/// What this dialect shares with the generic one, which leaves everything else to the parser.
macro_rules! yes {
    ($($name:ident)*) => { $(fn $name(&self) -> bool { true })* };
}

impl Dialect for SwathDialect {
    /// Where the parser asks for a dialect by its type, this is the generic one.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    /// As in PostgreSQL: `j ->> 'a' = 'x'` compares what stands at the key, `2 * 3 ^ 2` is 18, and
    /// `'n: ' || 1 + 2` is `n: 3`.
    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        let below = |other| Some(Ok(self.prec_value(other) - 1));
        match &parser.peek_token_ref().token {
            Token::Arrow | Token::LongArrow => below(Precedence::DoubleColon),
            Token::CustomBinaryOperator(operator) if operator == ARROW => {
                below(Precedence::DoubleColon)
            }
            Token::Caret => Some(Ok(self.prec_value(Precedence::AtTz))),
            Token::StringConcat => below(Precedence::PlusMinus),
            Token::Word(word) if is_null_test(word) => Some(Ok(self.prec_value(Precedence::Is))),
            _ => None,
        }
    }

    /// `x IS DISTINCT FROM y AND z`, of which the parser would compare with all that follows, and
    /// `x ISNULL`.
    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        use Keyword::{DISTINCT, FROM, IS, NOT};
        let left = || Box::new(expr.clone());
        if let Token::Word(word) = &parser.peek_token_ref().token
            && is_null_test(word)
        {
            let is_null = word.keyword != Keyword::NOTNULL;
            parser.next_token();
            return Some(Ok(if is_null { Expr::IsNull(left()) } else { Expr::IsNotNull(left()) }));
        }
        let is_negated = if parser.parse_keywords(&[IS, DISTINCT, FROM]) {
            false
        } else if parser.parse_keywords(&[IS, NOT, DISTINCT, FROM]) {
            true
        } else {
            return None;
        };
        Some(parser.parse_subexpr(self.prec_value(Precedence::Is)).map(|right| {
            let right = Box::new(right);
            match is_negated {
                true => Expr::IsNotDistinctFrom(left(), right),
                false => Expr::IsDistinctFrom(left(), right),
            }
        }))
    }

    yes! {
        allow_extract_custom allow_extract_single_quotes support_map_literal_syntax
        supports_array_join_syntax supports_array_typedef_with_brackets
        supports_asc_desc_in_column_definition supports_bitwise_shift_operators
        supports_comma_separated_set_assignments supports_comma_separated_trim
        supports_comment_on supports_comment_optimizer_hint supports_connect_by
        supports_constraint_keyword_without_name supports_create_index_with_clause
        supports_create_view_comment_syntax supports_cte_without_as
        supports_data_type_signed_suffix supports_detach supports_dictionary_syntax
        supports_empty_projections supports_explain_with_utility_options
        supports_extract_comma_syntax supports_filter_during_aggregation
        supports_from_first_select supports_group_by_expr supports_group_by_with_modifier
        supports_install supports_interpolate supports_interval_options
        supports_key_column_option supports_left_associative_joins_without_parens
        supports_limit_by supports_limit_comma supports_load_extension supports_match_against
        supports_match_recognize supports_multiline_comment_hints
        supports_named_fn_args_with_assignment_operator supports_nested_comments
        supports_optimize_table supports_parens_around_table_factor
        supports_parenthesized_set_variables supports_partition_by_after_order_by
        supports_pipe_operator supports_prewhere supports_projection_trailing_commas
        supports_quote_delimited_string supports_select_format
        supports_select_item_multi_column_alias supports_select_wildcard_except
        supports_select_wildcard_exclude supports_select_wildcard_ilike
        supports_select_wildcard_rename supports_select_wildcard_replace supports_set_names
        supports_settings supports_start_transaction_modifier supports_string_escape_constant
        supports_struct_literal supports_try_convert supports_unicode_string_literal
        supports_update_order_by supports_user_host_grantee supports_values_as_table_factor
        supports_window_clause_named_window_reference
        supports_window_function_null_treatment_arg supports_with_fill
        supports_xml_expressions
    }

    // Beyond the generic dialect.
    yes! {
        supports_lambda_functions supports_numeric_literal_underscores supports_order_by_all
        supports_trailing_commas
    }
}
