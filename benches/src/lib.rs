//! What Postrider costs, question by question.
