#include "client/command/terminal.h"

#include <chafa.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "absl/strings/match.h"

namespace ilf {
namespace {

// Width of a character cell relative to its height, where the terminal does not tell.
constexpr float kCellAspect = 0.5f;

struct UnrefConfig {
  void operator()(ChafaCanvasConfig* config) const { chafa_canvas_config_unref(config); }
};
struct UnrefCanvas {
  void operator()(ChafaCanvas* canvas) const { chafa_canvas_unref(canvas); }
};
struct UnrefSymbols {
  void operator()(ChafaSymbolMap* symbols) const { chafa_symbol_map_unref(symbols); }
};

std::string ValueOf(const std::vector<std::string>& environment, const std::string& name) {
  for (const std::string& entry : environment) {
    if (absl::StartsWith(entry, name + "=")) return entry.substr(name.size() + 1);
  }
  return "";
}

ChafaCanvasMode CanvasModeOf(const ChafaTermInfo* info) {
  const auto has = [info](ChafaTermSeq sequence) {
    return chafa_term_info_have_seq(info, sequence) != 0;
  };
  if (has(CHAFA_TERM_SEQ_SET_COLOR_FGBG_DIRECT)) return CHAFA_CANVAS_MODE_TRUECOLOR;
  if (has(CHAFA_TERM_SEQ_SET_COLOR_FGBG_256)) return CHAFA_CANVAS_MODE_INDEXED_240;
  if (has(CHAFA_TERM_SEQ_SET_COLOR_FGBG_16)) return CHAFA_CANVAS_MODE_INDEXED_16;
  if (has(CHAFA_TERM_SEQ_INVERT_COLORS)) return CHAFA_CANVAS_MODE_FGBG_BGFG;
  return CHAFA_CANVAS_MODE_FGBG;
}

ChafaPixelMode PixelModeOf(const ChafaTermInfo* info, const TerminalSize& size) {
  if (size.pixel_width <= 0 || size.pixel_height <= 0) return CHAFA_PIXEL_MODE_SYMBOLS;
  if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1)) {
    return CHAFA_PIXEL_MODE_KITTY;
  }
  if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_SIXELS)) return CHAFA_PIXEL_MODE_SIXELS;
  return CHAFA_PIXEL_MODE_SYMBOLS;
}

}  // namespace

TerminalSize SizeOfTerminal(int descriptor) {
  TerminalSize size;
  winsize window = {};
  if (ioctl(descriptor, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return size;
  size.columns = window.ws_col;
  size.rows = window.ws_row;
  size.pixel_width = window.ws_xpixel;
  size.pixel_height = window.ws_ypixel;
  return size;
}

void PictureTerminal::UnrefTermInfo::operator()(ChafaTermInfo* info) const {
  chafa_term_info_unref(info);
}

PictureTerminal::PictureTerminal(const std::vector<std::string>& environment, TerminalSize size)
    : size_(size) {
  const std::string term = ValueOf(environment, "TERM");
  can_draw_ = !term.empty() && term != "dumb";

  std::vector<char*> entries;
  for (const std::string& entry : environment) entries.push_back(const_cast<char*>(entry.c_str()));
  entries.push_back(nullptr);
  ChafaTermDb* known = chafa_term_db_get_default();
  info_.reset(chafa_term_db_detect(known, entries.data()));
  canvas_mode_ = CanvasModeOf(info_.get());
  pixel_mode_ = PixelModeOf(info_.get(), size_);
}

PictureTerminal::Drawing PictureTerminal::Draw(const cv::Mat& rgb, int max_columns,
                                               int max_rows) const {
  int columns = std::max(1, max_columns);
  int rows = std::max(1, max_rows);
  const bool pixels = pixel_mode_ != CHAFA_PIXEL_MODE_SYMBOLS;
  const int cell_width = pixels ? std::max(1, size_.pixel_width / size_.columns) : 1;
  const int cell_height = pixels ? std::max(1, size_.pixel_height / size_.rows) : 2;
  const float aspect = pixels ? static_cast<float>(cell_width) / cell_height : kCellAspect;
  chafa_calc_canvas_geometry(rgb.cols, rgb.rows, &columns, &rows, aspect, TRUE, FALSE);

  const std::unique_ptr<ChafaSymbolMap, UnrefSymbols> symbols(chafa_symbol_map_new());
  chafa_symbol_map_add_by_tags(
      symbols.get(), static_cast<ChafaSymbolTags>(CHAFA_SYMBOL_TAG_BLOCK | CHAFA_SYMBOL_TAG_SPACE));
  const std::unique_ptr<ChafaCanvasConfig, UnrefConfig> config(chafa_canvas_config_new());
  chafa_canvas_config_set_symbol_map(config.get(), symbols.get());
  chafa_canvas_config_set_geometry(config.get(), columns, rows);
  chafa_canvas_config_set_canvas_mode(config.get(), static_cast<ChafaCanvasMode>(canvas_mode_));
  chafa_canvas_config_set_pixel_mode(config.get(), static_cast<ChafaPixelMode>(pixel_mode_));
  if (pixels) chafa_canvas_config_set_cell_geometry(config.get(), cell_width, cell_height);

  const std::unique_ptr<ChafaCanvas, UnrefCanvas> canvas(chafa_canvas_new(config.get()));
  chafa_canvas_draw_all_pixels(canvas.get(), CHAFA_PIXEL_RGB8, rgb.data, rgb.cols, rgb.rows,
                               static_cast<int>(rgb.step));
  GString* printed = chafa_canvas_print(canvas.get(), info_.get());
  Drawing drawing{std::string(printed->str, printed->len), rows};
  g_string_free(printed, TRUE);
  drawing.text += '\n';
  return drawing;
}

}  // namespace ilf
