import Foundation

/// PDF files made by hand, as small as they can be.
enum SamplePDF {
    /// One page for each text, in ASCII without parentheses, as many lines as it has.
    static func pages(_ texts: [String]) -> Data {
        let kids = texts.indices.map { "\(4 + 2 * $0) 0 R" }.joined(separator: " ")
        var objects = [
            "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [\(kids)] /Count \(texts.count) >>",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
        for (index, text) in texts.enumerated() {
            objects.append(page(contents: 5 + 2 * index, resources: "/Font << /F1 3 0 R >>"))
            let lines = text.split(separator: "\n").map { "(\($0)) Tj T*" }.joined(separator: " ")
            objects.append(stream("", "BT /F1 12 Tf 14 TL 72 720 Td \(lines) ET"))
        }
        return file(objects)
    }

    /// A page that draws a form ten times, which draws another ten times, and so on: ten thousand million words.
    static let billionWords: Data = {
        let levels = 10
        var objects = [
            "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", page(contents: 5, resources: "/XObject << /X 6 0 R >>"),
            stream("", "/X Do"),
        ]
        for level in 0..<levels {
            let form = "/Type /XObject /Subtype /Form /BBox [0 0 612 792]"
            if level == levels - 1 {
                objects.append(stream("\(form) /Resources << /Font << /F1 3 0 R >> >>", "BT /F1 12 Tf 72 720 Td (word) Tj ET"))
            } else {
                let draws = String(repeating: "/X Do 1 0 0 1 1 1 cm ", count: 10)
                objects.append(stream("\(form) /Resources << /XObject << /X \(7 + level) 0 R >> >>", draws))
            }
        }
        return file(objects)
    }()

    private static func page(contents: Int, resources: String) -> String {
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << \(resources) >> /Contents \(contents) 0 R >>"
    }

    private static func stream(_ entries: String, _ content: String) -> String {
        "<< \(entries) /Length \(content.utf8.count) >>\nstream\n\(content)\nendstream"
    }

    private static func file(_ objects: [String]) -> Data {
        var text = "%PDF-1.4\n"
        var table = "xref\n0 \(objects.count + 1)\n0000000000 65535 f \n"
        for (index, object) in objects.enumerated() {
            table += String(format: "%010d 00000 n \n", text.utf8.count)
            text += "\(index + 1) 0 obj\n\(object)\nendobj\n"
        }
        let start = text.utf8.count
        text += table + "trailer\n<< /Size \(objects.count + 1) /Root 1 0 R >>\nstartxref\n\(start)\n%%EOF\n"
        return Data(text.utf8)
    }
}
