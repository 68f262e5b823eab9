// The node graph that the Relay-era TVM's save_json writes, as a table of nodes. Strings are views of the text.
#pragma once

#include <tvm/ffi/error.h>

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace memopt {

// `attributes`: by name; one that is an object holds its index. `keys`: of a map with strings as keys.
struct JsonNode {
  std::string_view type_key, text;
  std::vector<std::pair<std::string_view, std::string_view>> attributes;
  std::vector<std::string_view> keys;
  std::vector<int32_t> items;
};

// Reads one graph. Members that it does not know are skipped. Throws ValueError with the place of the first error.
class JsonGraph {
 public:
  explicit JsonGraph(std::string_view text) : text_(text) {
    object([&](std::string_view name) {
      if (name == "root") {
        root_ = integer();
      } else if (name == "nodes") {
        array([&] { nodes_.push_back(node()); });
      } else {
        skip();
      }
    });
    if (root_ < 0 || static_cast<size_t>(root_) >= nodes_.size()) fail("a root node");
  }

  const std::vector<JsonNode>& nodes() const { return nodes_; }
  size_t root() const { return static_cast<size_t>(root_); }

 private:
  JsonNode node() {
    JsonNode node;
    object([&](std::string_view name) {
      if (name == "type_key") {
        node.type_key = string();
      } else if (name == "repr_str") {
        node.text = string();
      } else if (name == "attrs") {
        object([&](std::string_view key) { node.attributes.emplace_back(key, string()); });
      } else if (name == "keys") {
        array([&] { node.keys.push_back(string()); });
      } else if (name == "data") {
        array([&] { node.items.push_back(integer()); });
      } else {
        skip();
      }
    });
    return node;
  }

  template <typename Member>
  void object(Member member) {
    list('{', '}', [&] {
      const std::string_view name = string();
      expect(':');
      member(name);
    });
  }

  template <typename Item>
  void array(Item item) {
    list('[', ']', item);
  }

  template <typename Item>
  void list(char open, char close, Item item) {
    expect(open);
    if (peek() == close) {
      ++at_;
      return;
    }
    for (;;) {
      item();
      if (peek() == close) break;
      expect(',');
    }
    ++at_;
  }

  // Without resolving escapes: no name that is compared has one.
  std::string_view string() {
    expect('"');
    const size_t start = at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) fail("the end of a string");
    return text_.substr(start, at_++ - start);
  }

  int32_t integer() {
    peek();
    int32_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) fail("an integer");
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  void skip() {
    const char first = peek();
    if (first == '"') {
      string();
    } else if (first == '{') {
      object([&](std::string_view) { skip(); });
    } else if (first == '[') {
      array([&] { skip(); });
    } else {
      const size_t start = at_;
      while (at_ < text_.size() && std::string_view(",]} \n\t\r").find(text_[at_]) == std::string_view::npos) ++at_;
      if (at_ == start) fail("a value");
    }
  }

  char peek() {
    while (at_ < text_.size() && std::string_view(" \n\t\r").find(text_[at_]) != std::string_view::npos) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void expect(char wanted) {
    if (peek() != wanted) fail(std::string("'") + wanted + "'");
    ++at_;
  }

  [[noreturn]] void fail(const std::string& wanted) const {
    TVM_FFI_THROW(ValueError) << "the program's JSON is damaged: expected " << wanted << " at character " << at_;
    __builtin_unreachable();
  }

  std::string_view text_;
  size_t at_ = 0;
  int32_t root_ = -1;
  std::vector<JsonNode> nodes_;
};

}  // namespace memopt
