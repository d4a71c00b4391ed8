import CQREncode
import Foundation

/// A text as a QR code, drawn as SVG: one path, black on white, sharp at any size.
enum QRCode {
    struct Refusal: Error {}

    /// Modules of white around it (ISO/IEC 18004 asks for four).
    private static let margin = 4

    static func svg(_ text: String, label: String) throws -> String {
        guard let code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M) else { throw Refusal() }
        defer { QRcode_free(code) }
        let width = Int(code.pointee.width), size = width + 2 * margin
        guard let modules = code.pointee.data else { throw Refusal() }
        var path = ""
        for row in 0..<width {
            var column = 0
            while column < width {
                // The least significant bit says black.
                guard modules[row * width + column] & 1 == 1 else {
                    column += 1
                    continue
                }
                let start = column
                while column < width, modules[row * width + column] & 1 == 1 { column += 1 }
                path += "M\(start + margin) \(row + margin)h\(column - start)v1h-\(column - start)z"
            }
        }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(size) \(size)" role="img" aria-label="\(label)" \
            shape-rendering="crispEdges"><rect width="\(size)" height="\(size)" fill="#fff"/><path d="\(path)" fill="#000"/></svg>
            """
    }
}
